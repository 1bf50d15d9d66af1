import { createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { firstLink, nextLink } from '../src/envelope/chain.ts';
import { CHUNK, decodeFrameHead, FRAME_HEAD_LENGTH, HEADER_LENGTH, TAG } from '../src/envelope/format.ts';
import type { VaultKey } from '../src/envelope/key.ts';
import { frameSecrets } from '../src/envelope/secrets.ts';

/*
 * The floor for everything that reads: reads the file, opens it by AES-GCM and decompresses it, all
 * at once and in one module. It checks only the tags, which opening can't skip; not the chain,
 * lengths, padding or the content of events.
 */

/** Returns the plaintext of a sealed file, segment by segment. */
export function* rawSegments(path: string, key: VaultKey): Generator<Buffer> {
  const bytes = readFileSync(path);
  let chain = firstLink(bytes.subarray(0, HEADER_LENGTH));
  for (let offset = HEADER_LENGTH; offset < bytes.length; ) {
    const head = decodeFrameHead(bytes.subarray(offset));
    const end = offset + 4 + head.length;
    const secrets = frameSecrets(key, chain, head);
    yield* segmentsIn(rawFrame(bytes.subarray(offset + FRAME_HEAD_LENGTH, end), secrets));
    chain = nextLink(chain, bytes.subarray(offset));
    offset = end;
  }
}

/**
 * Parses the events in a segment. Each line becomes a separate string: an ASCII line is then parsed
 * and kept in half the space, which is faster by a third than one string for the whole segment.
 */
export function rawEvents(lines: Buffer): unknown[] {
  const events: unknown[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(LINE_FEED, start);
    events.push(JSON.parse(lines.toString('utf8', start, end)));
    start = end + 1;
  }
  return events;
}

function rawFrame(sealed: Buffer, { key, nonce }: ReturnType<typeof frameSecrets>): Buffer {
  const plain = Buffer.allocUnsafeSlow(sealed.length - TAG * Math.ceil(sealed.length / (CHUNK + TAG)));
  const base = nonce.readUInt32BE(8);
  const own = Buffer.from(nonce);
  for (let index = 0, from = 0; from < sealed.length; index++, from += CHUNK + TAG) {
    const end = Math.min(from + CHUNK + TAG, sealed.length);
    own.writeUInt32BE((base ^ index) >>> 0, 8);
    const decipher = createDecipheriv('aes-256-gcm', key, own, { authTagLength: TAG });
    decipher.setAuthTag(sealed.subarray(end - TAG, end));
    plain.set(decipher.update(sealed.subarray(from, end - TAG)), index * CHUNK);
    decipher.final();
  }
  return plain;
}

function* segmentsIn(plain: Buffer): Generator<Buffer> {
  const body = 4 + plain.readUInt32BE(0) + 8;
  const end = body + Number(plain.readBigUInt64BE(body - 8));
  for (let offset = body; offset < end; ) {
    const start = offset + 9;
    const next = start + plain.readUInt32BE(offset + 1);
    const stored = plain.subarray(start, next);
    yield plain[offset] === 1 ? zstdDecompressSync(stored) : stored;
    offset = next;
  }
}

const LINE_FEED = 10;
