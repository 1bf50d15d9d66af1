import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hkdfExpand, hkdfSha256 } from '../../src/envelope/key.ts';
import { openChunk, sealChunk } from '../../src/envelope/seal.ts';
import { expectRefusal, readDebianVectors } from './support.ts';

/** One record of a NIST response file, with the bit lengths of its section. */
interface Record {
  readonly fields: ReadonlyMap<string, string>;
  readonly fail: boolean;
}

const GCM = 'ciphers/AES/GCM';

/**
 * Parses `name = value` lines, in records separated by empty lines, under sections like `[IVlen =
 * 96]`.
 */
function recordsOf(text: string): Record[] {
  const records: Record[] = [];
  const section = new Map<string, string>();
  for (const block of text.split(/\r?\n\s*\r?\n/)) {
    const fields = new Map(section);
    let fail = false;
    for (const line of block.split(/\r?\n/)) {
      const [, bracket, name, value] = /^(\[?)(\w+)\s*=\s*([\w-]*)\]?\s*$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) (bracket ? section : fields).set(name, value);
      fail ||= line.trim() === 'FAIL';
    }
    if (fields.has('Count') || fields.has('COUNT')) records.push({ fields, fail });
  }
  return records;
}

function hexOf(record: Record, name: string): Buffer {
  const hex = record.fields.get(name);
  if (hex === undefined || !/^([0-9a-f]{2})*$/.test(hex)) throw new Error(`the vector has no ${name}`);
  return Buffer.from(hex, 'hex');
}

/**
 * Leaves out the records that can't be a chunk of ours: a nonce of another length, associated data.
 */
function usable(records: readonly Record[]): { ours: Record[]; short: Record[]; nonces: number; associated: number } {
  const nonce96 = records.filter((record) => record.fields.get('IVlen') === '96');
  const bare = nonce96.filter((record) => record.fields.get('AADlen') === '0');
  const ours = bare.filter((record) => record.fields.get('Taglen') === '128');
  const short = bare.filter((record) => record.fields.get('Taglen') !== '128');
  const [nonces, associated] = [records.length - nonce96.length, nonce96.length - bare.length];
  return { ours, short, nonces, associated };
}

function report(name: string, ran: string, sorted: ReturnType<typeof usable>): void {
  const { nonces, associated } = sorted;
  console.log(
    `${name}: ${ran}; left out: ${nonces} with a nonce that is not 96 bits, ${associated} with associated data, which no chunk of ours has`,
  );
}

describe('NIST CAVP AES-256-GCM', () => {
  it('opens, or refuses, every vector that can be a chunk', (context) => {
    const records = recordsOf(readDebianVectors(context, `${GCM}/gcmDecrypt256.rsp`));
    const sorted = usable(records);
    let refused = 0;
    for (const record of sorted.ours) {
      const [key, nonce] = [createSecretKey(hexOf(record, 'Key')), hexOf(record, 'IV')];
      const open = (): Buffer => openChunk(key, nonce, hexOf(record, 'CT'), hexOf(record, 'Tag'));
      if (record.fail) {
        expectRefusal(open);
        refused++;
      } else expect(open()).toEqual(hexOf(record, 'PT'));
    }
    for (const record of sorted.short) {
      const [key, nonce] = [createSecretKey(hexOf(record, 'Key')), hexOf(record, 'IV')];
      expectRefusal(() => openChunk(key, nonce, hexOf(record, 'CT'), hexOf(record, 'Tag')));
    }
    const opened = sorted.ours.length - refused;
    const ran = `${opened} opened, ${refused} forged and refused, ${sorted.short.length} with short tags and refused`;
    report('gcmDecrypt256', ran, sorted);
    expect([records.length, sorted.ours.length, sorted.short.length]).toEqual([7875, 75, 450]);
    expect(Math.min(opened, refused)).toBeGreaterThan(0);
  });

  it('seals every vector that can be a chunk, and opens it again', (context) => {
    const records = recordsOf(readDebianVectors(context, `${GCM}/gcmEncryptExtIV256.rsp`));
    const sorted = usable(records);
    for (const record of sorted.ours) {
      const [key, nonce, plain] = [createSecretKey(hexOf(record, 'Key')), hexOf(record, 'IV'), hexOf(record, 'PT')];
      const target = Buffer.alloc(plain.length + 16);
      sealChunk(key, nonce, [plain.subarray(0, 5), plain.subarray(5)], target);
      expect(target).toEqual(Buffer.concat([hexOf(record, 'CT'), hexOf(record, 'Tag')]));
      expect(openChunk(key, nonce, hexOf(record, 'CT'), hexOf(record, 'Tag'))).toEqual(plain);
    }
    report('gcmEncryptExtIV256', `${sorted.ours.length} sealed; ${sorted.short.length} have short tags`, sorted);
    expect([records.length, sorted.ours.length]).toEqual([7875, 75]);
  });
});

describe('RFC 5869', () => {
  it('derives every vector for SHA-256, with HKDF and with Expand alone', (context) => {
    const records = recordsOf(readDebianVectors(context, 'KDF/rfc-5869-HKDF-SHA256.txt').replace(/\n\n(?!#)/g, '\n'));
    for (const record of records) {
      const length = Number(record.fields.get('L'));
      const [input, pseudorandom] = [createSecretKey(hexOf(record, 'IKM')), createSecretKey(hexOf(record, 'PRK'))];
      const output = hexOf(record, 'OKM');
      expect(hkdfSha256(input, hexOf(record, 'salt'), hexOf(record, 'info'), length)).toEqual(output);
      expect(hkdfExpand('sha256', pseudorandom, [hexOf(record, 'info')], length)).toEqual(output);
    }
    console.log(`rfc-5869-HKDF-SHA256: ${records.length} derived by HKDF and by Expand; left out: none`);
    expect(records).toHaveLength(3);
  });
});
