import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, MESSAGE_LIMIT, messageLength } from '../../native-fallback/dbus-wire.ts';

/**
 * A call of GetNameOwner as sent by dbus-send (libdbus 1.14), captured from its socket: fixed
 * header, fields, body.
 */
const GET_NAME_OWNER = [
  '6c010001 1c000000 02000000 7f000000',
  '01016f00 15000000 2f6f7267 2f667265 65646573 6b746f70 2f444275 73000000',
  '02017300 14000000 6f72672e 66726565 6465736b 746f702e 44427573 00000000',
  '03017300 0c000000 4765744e 616d654f 776e6572 00000000',
  '06017300 14000000 6f72672e 66726565 6465736b 746f702e 44427573 00000000',
  '08016700 01730000',
  '17000000 6f72672e 66726565 6465736b 746f702e 73656372 65747300',
].join(' ');

const CALL = {
  type: 1,
  serial: 2,
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'GetNameOwner',
  destination: 'org.freedesktop.DBus',
  signature: 's',
  body: ['org.freedesktop.secrets'],
};

describe('a D-Bus message', () => {
  it('is encoded byte for byte as libdbus does', () => {
    expect(encodeMessage(CALL).toString('hex')).toBe(GET_NAME_OWNER.replaceAll(' ', ''));
  });

  it('survives a round trip, whatever its values', () => {
    const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''));
    const bytes = fc.uint8Array({ maxLength: 600 }).map((value) => Buffer.from(value));
    const values = fc.tuple(
      fc.record({ y: fc.nat(255), b: fc.boolean(), u: fc.nat(0xffffffff), i: fc.integer(), s: text, bytes }),
      fc.array(fc.tuple(text, text)),
      fc.array(
        fc.tuple(
          text,
          fc.oneof(
            text.map((value) => ({ signature: 's', value })),
            bytes.map((value) => ({ signature: 'ay', value })),
          ),
        ),
      ),
    );
    fc.assert(
      fc.property(values, ([one, pairs, variants]) => {
        const signature = 'ybuisg(oayays)a{ss}a{sv}aas';
        const struct = ['/session/1', Buffer.alloc(0), one.bytes, 'text/plain'];
        const body = [one.y, one.b, one.u, one.i, one.s, 'a{sv}', struct, pairs, variants, pairs];
        const bytes = encodeMessage({ ...CALL, signature, body });
        expect(messageLength(bytes)).toBe(bytes.length);
        expect(messageLength(Buffer.concat([bytes, Buffer.from('more')]))).toBe(bytes.length);
        expect(decodeMessage(bytes)).toEqual({ ...CALL, signature, body });
      }),
    );
  });

  it('is decoded in the other byte order too', () => {
    const whole = Buffer.from(
      '42020001 00000008 00000003 0000000f 05017500 00000007 08016700 01750000 0000002a'.replaceAll(' ', ''),
      'hex',
    );
    whole.writeUInt32BE(4, 4);
    expect(decodeMessage(whole)).toMatchObject({ type: 2, serial: 3, replySerial: 7, body: [42] });
  });

  it('has no known length before its fixed header is complete', () => {
    expect(messageLength(encodeMessage(CALL).subarray(0, 15))).toBeUndefined();
  });

  it('throws only RangeError, and terminates, whatever the bytes', () => {
    const valid = encodeMessage({
      ...CALL,
      signature: 'a{sv}ao',
      body: [[['x', { signature: 'ai', value: [1, 2] }]], ['/a', '/b']],
    });
    const damaged = fc
      .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
      .map((changes) => {
        const copy = Buffer.from(valid);
        for (const [at, value] of changes) copy[at] = value;
        return copy;
      });
    const cut = fc.nat(valid.length - 1).map((length) => valid.subarray(0, length));
    const anything = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(damaged, cut, anything), (bytes) => {
        try {
          messageLength(bytes);
          decodeMessage(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['a struct that does not end', '(s'],
    ['a signature nested too deep', `${'a'.repeat(40)}s`],
    ['a type that we do not take', 'h'],
  ])('refuses %s', (_, signature) => {
    const bytes = encodeMessage({ ...CALL, signature: 'v', body: [{ signature: 's', value: 'x'.repeat(100) }] });
    const at = bytes.lastIndexOf(Buffer.from([1, 's'.charCodeAt(0), 0]));
    const changed = Buffer.concat([
      bytes.subarray(0, at),
      Buffer.from([signature.length]),
      Buffer.from(`${signature}\0`),
      bytes.subarray(at + 3),
    ]);
    expect(() => decodeMessage(changed)).toThrow(RangeError);
  });

  it('refuses an array of empty structs, which would never end', () => {
    const bytes = encodeMessage({
      ...CALL,
      signature: 'v',
      body: [{ signature: 'aau', value: [[1, 2, 3, 4, 5, 6], [7]] }],
    });
    bytes.write('a()', bytes.lastIndexOf('aau'));
    expect(() => decodeMessage(bytes)).toThrow('a struct must not be empty');
  });

  it('refuses endlessly nested variants', () => {
    // Each level is `1 v 0`: the signature of one variant.
    const bytes = encodeMessage({ ...CALL, signature: 'v', body: [{ signature: 's', value: 'x'.repeat(600) }] });
    const at = bytes.lastIndexOf(Buffer.from([1, 's'.charCodeAt(0), 0]));
    for (let level = 0; level < 200; level++) bytes.set([1, 'v'.charCodeAt(0), 0], at + level * 3);
    expect(() => decodeMessage(bytes)).toThrow('nested too deep');
  });

  it('is bounded when encoded and decoded', () => {
    const body = [Buffer.alloc(MESSAGE_LIMIT)];
    expect(() => encodeMessage({ ...CALL, signature: 'ay', body })).toThrow(RangeError);
    const large = encodeMessage(CALL);
    large.writeUInt32LE(MESSAGE_LIMIT, 4);
    expect(() => messageLength(large)).toThrow(RangeError);
    large.writeUInt32LE(0xffffffff, 12);
    expect(() => messageLength(large)).toThrow(RangeError);
  });

  it.each([
    ['a number for a string', 's', [1]],
    ['a string with a NUL', 's', ['a\0b']],
    ['too few values', 'ss', ['a']],
    ['a type that we do not write', 'x', [1]],
  ])('is not encoded from %s', (_, signature, body) => {
    expect(() => encodeMessage({ ...CALL, signature, body })).toThrow(TypeError);
  });
});
