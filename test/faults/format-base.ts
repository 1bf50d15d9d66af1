import { createHash } from 'node:crypto';
import { HEADER_LENGTH } from '../../src/envelope/format.ts';
import type { VaultKey } from '../../src/envelope/key.ts';
import { CofferError, type ErrorCode } from '../../src/errors.ts';
import { floorAt, headerWith, linkBehind, linkOf, plainOf, sealPlain, segmentOf } from './malicious.ts';

/**
 * The result of an opener, in comparable form: the current summary, the hash of all lines, and the
 * number of frames.
 */
export interface Seen {
  readonly frames: number;
  readonly summary: string;
  /** SHA-256 of all lines. */
  readonly lines: string;
  readonly torn: boolean;
}

/** The content that a frame was sealed with. */
export interface Said {
  readonly summary: string;
  readonly lines: Buffer;
}

/** A genuine file to be damaged. */
export interface Base {
  readonly name: string;
  readonly key: VaultKey;
  readonly fileId: string;
  readonly header: Buffer;
  readonly frames: readonly Buffer[];
  readonly bytes: Buffer;
  /** The expected result of its first n frames. */
  readonly states: readonly Seen[];
}

/** Bytes that an attacker puts in a genuine file's place. */
export interface Attack {
  readonly what: string;
  readonly bytes: Buffer;
  /** The name it is put under. */
  readonly fileId: string;
  /**
   * The genuine file it was made of; undefined if its author had the key, in which case nothing of
   * it may be believed.
   */
  readonly base?: Base;
  /** The codes that a refusal may have. Default: only UNAUTHENTIC. */
  readonly codes?: readonly ErrorCode[];
  /** Offset of the single changed byte, if any. */
  readonly at?: number;
}

/**
 * The result of an attack. `cut`: nothing in the file distinguishes it from a session that ended
 * there.
 */
export type Verdict = 'refused' | 'torn' | 'cut' | 'accepted' | 'misreported';

/** Seals a genuine file with a frame for each of `said`. */
export function baseOf(
  name: string,
  key: VaultKey,
  fileId: string,
  said: readonly Said[],
  options: { generation?: bigint; chained?: boolean; salt?: string } = {},
): Base {
  const header = headerWith(key, fileId, options);
  const frames: Buffer[] = [];
  const states: Seen[] = [];
  let chain = linkOf(header);
  for (const { summary, lines } of said) {
    const body = segmentOf(0, lines, lines.length);
    const plain = plainOf({ summary: Buffer.from(summary), body }, floorAt(chain.index));
    const salt = sha256(Buffer.from(`${options.salt ?? ''} ${name} ${chain.index}`)).subarray(0, 24);
    const frame = sealPlain(key, chain, plain, { salt, chained: options.chained ?? true });
    frames.push(frame);
    chain = linkBehind(chain, frame);
    const all = Buffer.concat(said.slice(0, frames.length).map((one) => one.lines));
    states.push(seenOf(frames.length, Buffer.from(summary), [all], false));
  }
  return { name, key, fileId, header, frames, bytes: Buffer.concat([header, ...frames]), states };
}

/** Converts the result of an opener into the form that is compared. */
export function seenOf(frames: number, summary: Uint8Array, lines: readonly Uint8Array[], torn: boolean): Seen {
  const hash = createHash('sha256');
  for (const some of lines) hash.update(some);
  return { frames, summary: Buffer.from(summary).toString('latin1'), lines: hash.digest('hex'), torn };
}

/** Judges how an attack ended: `outcome` is the result of the opener, or the error it threw. */
export function judge(attack: Attack, outcome: Seen | Error): { verdict: Verdict; why: string } {
  if (outcome instanceof Error) {
    const allowed = attack.codes ?? ['UNAUTHENTIC'];
    if (outcome instanceof CofferError && allowed.includes(outcome.code)) return { verdict: 'refused', why: '' };
    const code = outcome instanceof CofferError ? outcome.code : outcome.name;
    return { verdict: 'misreported', why: `${code} instead of ${allowed.join(' or ')}: ${outcome.message}` };
  }
  const state = attack.base?.states[outcome.frames - 1];
  const genuine = state?.summary === outcome.summary && state.lines === outcome.lines;
  if (!attack.base || !genuine) return { verdict: 'accepted', why: 'it returned content that was never sealed there' };
  if (outcome.torn) return { verdict: 'torn', why: '' };
  const { bytes } = attack.base;
  const isStart = attack.bytes.length < bytes.length && bytes.subarray(0, attack.bytes.length).equals(attack.bytes);
  if (isStart && outcome.frames < attack.base.frames.length) return { verdict: 'cut', why: '' };
  return {
    verdict: 'accepted',
    why: `it returned ${outcome.frames} of ${attack.base.frames.length} frames without an error`,
  };
}

/**
 * Returns whether a list, which reads only heads and the first chunk of the last frame, reads the
 * byte at `offset`.
 */
export function isReadByList(base: Base, offset: number): boolean {
  let start = HEADER_LENGTH;
  for (const [index, frame] of base.frames.entries()) {
    const reach = index === base.frames.length - 1 ? 60 + 16_400 : 60;
    if (offset >= start && offset < Math.min(start + frame.length, start + reach)) return true;
    start += frame.length;
  }
  return offset < HEADER_LENGTH;
}

/** Returns lines that are events, with that many bytes that do not compress. */
export function linesOf(name: string, size: number): Buffer {
  const noise: Buffer[] = [];
  let block = sha256(Buffer.from(name));
  for (let length = 0; length < size; length += block.length) {
    noise.push(block);
    block = sha256(block);
  }
  const text = `${name} ${Buffer.concat(noise).toString('base64')}`.slice(0, size);
  const event = { id: 1, ts: 1_793_000_001_000, type: 'message', message: { role: 'user', content: text } };
  return Buffer.from(`${JSON.stringify(event)}\n`);
}

/** Returns the contents of the frames of a file, each of about that many bytes. */
export function saidOf(name: string, sizes: readonly number[]): Said[] {
  return sizes.map((size, index) => ({
    summary: JSON.stringify({ id: name, frame: index }),
    lines: linesOf(`${name}-${index}`, size),
  }));
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
