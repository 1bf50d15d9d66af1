import { createDecipheriv } from 'node:crypto';
import type { Chain } from '../../src/envelope/chain.ts';
import { CHUNK, decodeHeader, HEADER_LENGTH } from '../../src/envelope/format.ts';
import type { VaultKey } from '../../src/envelope/key.ts';
import { CofferError } from '../../src/errors.ts';
import { type Seen, seenOf } from './format-base.ts';
import { floorAt, linkBehind, linkOf, nonceAt, paddingOf, secretsOf } from './malicious.ts';

/*
 * Openers that each leave out one check that docs/format.md requires of a reader. They open genuine
 * files, and an ordinary test sees nothing else of them. The campaigns must tell each of them from
 * the real one.
 */

/** Checks that an opener leaves out. With nothing left out it is as strict as coffer's. */
export interface Flaws {
  /** The tag is whatever follows the last whole block. */
  readonly anyTag?: true;
  /** The padding after the body is not checked. */
  readonly anyPadding?: true;
  /** Frames are opened wherever they are. */
  readonly unchained?: true;
  /** Output of `update` is used before `final` can refuse it. */
  readonly early?: true;
  /** The name of the file is not compared with its header. */
  readonly anyName?: true;
  /** Memory is allocated for a length before the length is checked. */
  readonly trusting?: true;
}

/** Opens bytes as one of the wrong openers would. Throws like the real one if it refuses them. */
export function openWrongly(bytes: Buffer, fileId: string, key: VaultKey, flaws: Flaws): Seen {
  const header = decodeHeader(bytes);
  if (header.keyId !== key.id) throw new CofferError('KEY_OTHER', 'another key');
  if (!flaws.anyName && header.fileId !== fileId) throw refusal('another name');
  if (header.kind !== 'session') throw refusal('another kind');
  let chain = linkOf(bytes);
  let summary: Buffer | undefined;
  const lines: Buffer[] = [];
  for (let offset = HEADER_LENGTH; offset < bytes.length; ) {
    const plain = openAt(bytes, offset, chain, key, flaws);
    if (plain === 'torn') return seenOf(chain.index, summary ?? Buffer.alloc(0), lines, true);
    const said = decode(plain.bytes, chain.index, flaws);
    summary = said.summary;
    lines.push(...said.lines);
    chain = linkBehind(chain, bytes.subarray(offset));
    offset = plain.end;
  }
  if (!summary) throw refusal('no frame');
  return seenOf(chain.index, summary, lines, false);
}

function openAt(
  file: Buffer,
  offset: number,
  chain: Chain,
  key: VaultKey,
  flaws: Flaws,
): 'torn' | { bytes: Buffer; end: number } {
  const head = file.subarray(offset, offset + 60);
  const isLater = chain.index > 0;
  if (isLater && (head.length < 60 || head.every((byte) => byte === 0))) return 'torn';
  if (head.length < 60) throw refusal('a cut head');
  const length = head.readUInt32BE(0);
  if (flaws.trusting) makeRoom(length);
  const end = offset + 4 + length;
  const secrets = secretsOf(key, chain, length, head.subarray(4, 28), !flaws.unchained);
  if (!secrets.commitment.equals(head.subarray(28))) throw refusal('a wrong commitment');
  if (end > file.length) {
    if (isLater) return 'torn';
    throw refusal('a cut frame');
  }
  const sealed = file.subarray(offset + 60, end);
  const plain: Buffer[] = [];
  for (let at = 0, index = 0; at < sealed.length; index++) {
    const chunk = sealed.subarray(at, at + CHUNK + 16);
    const short = chunk.length % 16;
    const tag = flaws.anyTag && short > 0 ? short : 16;
    plain.push(openChunk(secrets.key, nonceAt(secrets.nonce, index), chunk, tag, flaws));
    at += chunk.length;
  }
  return { bytes: Buffer.concat(plain), end };
}

function openChunk(key: Buffer, nonce: Buffer, chunk: Buffer, tag: number, flaws: Flaws): Buffer {
  if (chunk.length < tag) throw refusal('a cut chunk');
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: flaws.anyTag ? tag : 16 });
  decipher.setAuthTag(chunk.subarray(-tag));
  const plain = decipher.update(chunk.subarray(0, -tag));
  try {
    decipher.final();
  } catch {
    if (!flaws.early) throw refusal('a wrong chunk');
  }
  return plain;
}

function decode(plain: Buffer, index: number, flaws: Flaws): { summary: Buffer; lines: Buffer[] } {
  const summaryLength = plain.length < 4 ? -1 : plain.readUInt32BE(0);
  if (flaws.trusting && summaryLength > 0) makeRoom(summaryLength);
  const start = 4 + summaryLength + 8;
  if (summaryLength < 0 || summaryLength > 12_288 || start > plain.length) throw refusal('a wrong summary');
  const bodyLength = plain.readBigUInt64BE(start - 8);
  if (bodyLength > plain.length - start) throw refusal('a cut body');
  const end = start + Number(bodyLength);
  const padding = plain.subarray(end);
  const isPadded = padding.length === paddingOf(end, floorAt(index)) && padding.every((byte) => byte === 0);
  if (!isPadded && !flaws.anyPadding) throw refusal('wrong padding');
  const body = plain.subarray(start, end);
  const lines: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const stored = body.length < at + 9 ? Number.POSITIVE_INFINITY : body.readUInt32BE(at + 1);
    if (stored > body.length - at - 9) throw refusal('a cut segment');
    lines.push(body.subarray(at + 9, at + 9 + stored));
    at += 9 + stored;
  }
  return { summary: plain.subarray(4, 4 + summaryLength), lines };
}

/**
 * Allocates as a reader that trusts a length: it touches no page, so only the address space grows.
 */
function makeRoom(length: number): void {
  room[0] = Buffer.allocUnsafeSlow(length);
}

function refusal(what: string): CofferError {
  return new CofferError('UNAUTHENTIC', what);
}

/** Kept until the next one, as a reader keeps the buffer it fills. */
const room: Buffer[] = [];
