import { describe, expect, it } from 'vitest';
import { errorAnswer, refusalOf } from '../../src/keyring/keytar.ts';
import { decodeSecret, encodeSecret, requireKeyId } from '../../src/keyring/outcomes.ts';
import { ATTENDED, patienceFor, UNATTENDED, WATCHED } from '../../src/keyring/patience.ts';

const SECRET = Buffer.from(Array.from({ length: 32 }, (_, index) => index * 8));

describe('decodeSecret', () => {
  it.each(['', '\n', '\r\n'])('accepts base64 with %j after it', (end) => {
    const found = decodeSecret({ outcome: 'READY', text: `${SECRET.toString('base64')}${end}` });
    expect(found).toEqual({ outcome: 'READY', secret: SECRET });
  });

  it.each([
    '',
    '\n',
    'not a key',
    `${SECRET.toString('base64')}\n\n`,
    ` ${SECRET.toString('base64')}`,
    SECRET.toString('base64').replace('=', ''),
    SECRET.toString('base64url'),
    SECRET.toString('hex'),
    SECRET.subarray(1).toString('base64'),
    Buffer.concat([SECRET, SECRET]).toString('base64'),
  ])('returns MISMATCH for %j', (text) => {
    expect(decodeSecret({ outcome: 'READY', text })).toMatchObject({ outcome: 'MISMATCH' });
  });

  it('reports that an item is empty', () => {
    expect(decodeSecret({ outcome: 'READY', text: '' })).toEqual({ outcome: 'MISMATCH', detail: 'the item is empty' });
  });

  it('passes any other outcome on', () => {
    const answer = { outcome: 'LOCKED', detail: 'the keychain is locked' } as const;
    expect(decodeSecret(answer)).toBe(answer);
  });
});

describe('encodeSecret', () => {
  it('returns base64, of 32 bytes only', () => {
    expect(encodeSecret(SECRET)).toBe(SECRET.toString('base64'));
    expect(() => encodeSecret(SECRET.subarray(1))).toThrow(RangeError);
    expect(() => encodeSecret(Buffer.alloc(33))).toThrow(RangeError);
  });
});

describe('requireKeyId', () => {
  it.each([
    '',
    'a'.repeat(31),
    'a'.repeat(33),
    'A'.repeat(32),
    `${'a'.repeat(31)}\n`,
    '../../../../../../../../etc/passwd',
  ])('refuses %j', (keyId) => expect(() => requireKeyId(keyId)).toThrow(RangeError));

  it('accepts 32 hex digits', () => {
    expect(() => requireKeyId('0123456789abcdef0123456789abcdef')).not.toThrow();
  });
});

describe('failureOf', () => {
  it('distinguishes a broker without the addon, a late one and a dead one', () => {
    expect(refusalOf({ absent: true })?.outcome).toBe('ABSENT');
    expect(refusalOf({ late: true })?.outcome).toBe('TIMEOUT');
    expect(refusalOf({ died: 'it exited with SIGSEGV' })).toEqual({
      outcome: 'ABSENT',
      detail: 'the keychain broker is not running: it exited with SIGSEGV',
    });
  });

  it('returns undefined for a value and an error', () => {
    expect(refusalOf({ value: null })).toBeUndefined();
    expect(refusalOf({ error: 'x' })).toBeUndefined();
  });
});

describe('errorAnswer', () => {
  it.each([
    ['User interaction is not allowed.', 'LOCKED'],
    ['Cannot create an item in a locked collection', 'LOCKED'],
    ['User canceled the operation.', 'DECLINED'],
    ['The user name or passphrase you entered is not correct.', 'DECLINED'],
    ['Timeout was reached', 'TIMEOUT'],
    ['Cannot autolaunch D-Bus without X11 $DISPLAY', 'ABSENT'],
    ['The name org.freedesktop.secrets was not provided by any .service files', 'ABSENT'],
    ['', 'DECLINED'],
  ])('classifies %j as %s', (message, outcome) => {
    expect(errorAnswer(message)).toMatchObject({ outcome });
  });

  it('repeats no control characters and no more than a line', () => {
    const { detail } = errorAnswer(`\u001b[2Jgone\n${'x'.repeat(500)}`);
    expect(detail).toMatch(/^[\x20-\x7e]{1,260}$/);
  });
});

describe('patienceFor', () => {
  const display = { DISPLAY: ':0' };
  it.each([
    ['a terminal and a display', display, true, 'linux', ATTENDED],
    ['a terminal and a wayland display', { WAYLAND_DISPLAY: 'wayland-0' }, true, 'linux', ATTENDED],
    ['a terminal of macOS', {}, true, 'darwin', ATTENDED],
    ['a terminal of Windows', {}, true, 'win32', ATTENDED],
    ['no display', {}, true, 'linux', WATCHED],
    ['an empty display', { DISPLAY: '' }, true, 'linux', WATCHED],
    ['no terminal', display, false, 'linux', UNATTENDED],
    ['a connection by SSH', { ...display, SSH_CONNECTION: 'a' }, true, 'linux', WATCHED],
    ['a terminal by SSH', { ...display, SSH_TTY: '/dev/pts/1' }, true, 'darwin', WATCHED],
    ['CI', { ...display, CI: 'true' }, true, 'linux', UNATTENDED],
  ] as const)('recognises %s', (_, env, terminal, platform, expected) => {
    expect(patienceFor(env, terminal, platform)).toBe(expected);
  });

  it('gives up within fifteen seconds without a terminal, and never at one', () => {
    expect(UNATTENDED).toMatchObject({ mayPrompt: false, silence: 14_000 });
    expect(WATCHED).toMatchObject({ mayPrompt: false, silence: Number.POSITIVE_INFINITY });
    expect(ATTENDED).toMatchObject({ mayPrompt: true, silence: Number.POSITIVE_INFINITY });
  });
});
