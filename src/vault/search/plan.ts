import { randomBytes } from 'node:crypto';
import { type Chain, firstLink } from '../../envelope/chain.ts';
import { decodeHeader, encodeHeader, HEADER_LENGTH, unauthentic } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { CofferError } from '../../errors.ts';
import type { Reader } from '../../files/reader.ts';
import { sealTexts, type TextFile, TextFrame } from './frame.ts';

/*
 * What `texts` is made of next: the frames that stay, byte for byte, because each is sealed for the place behind the one before, and new
 * ones behind them.
 */

/** The most pairs of a trigram and a file in one frame: putting them together takes twenty bytes each. */
const PAIRS = 3 * 1024 * 1024;

/** Frames of more sealed bytes than this stay as they are, too: joining them would save little. */
const FULL = 16 * 1024 * 1024;

/** What is written next: what stays, and the files that are gathered for the frames behind it. */
export interface Plan {
  readonly prefix: Buffer;
  readonly chain: Chain;
  /** The files that what stays tells of, whether that is still true or not. */
  readonly told: readonly TextFile[];
  readonly gathered: readonly TextFile[];
  /** Files that it told of, and does not tell of any more. */
  readonly later: readonly TextFile[];
}

/** Tells whether a file is still as it was. */
export type IsCurrent = (file: TextFile) => boolean;

/** Plans an index of these files alone. */
export function planAnew(key: VaultKey, fresh: readonly TextFile[], later: readonly TextFile[] = []): Plan {
  const fileId = randomBytes(16).toString('hex');
  const prefix = encodeHeader({ kind: 'index', keyId: key.id, fileId, generation: 1n });
  return { prefix, chain: firstLink(prefix), told: [], gathered: inOrder(fresh), later };
}

/**
 * Plans to take files up. The last frames go where what is new is more than half of what they tell, unless they are full: each file is
 * gathered anew only as often as the index doubles. All go where less than half of it is still true, and no more than `most` sealed
 * bytes of that are gathered at once. Throws what {@link framesOf} throws.
 */
export function planFor(
  reader: Reader,
  key: VaultKey,
  { fresh, most }: { fresh: readonly TextFile[]; most: number },
  isCurrent: IsCurrent,
): Plan {
  const frames = framesOf(reader, key);
  const renewed = new Set(fresh.map(({ fileId }) => fileId));
  const live = frames.map(({ files }) => files.filter((file) => !renewed.has(file.fileId) && isCurrent(file)));
  let keep = frames.length;
  let weight = weigh(fresh);
  for (; keep > 0; keep--) {
    const own = weigh(live[keep - 1] ?? []);
    const isWorn = own * 2 < weigh(frames[keep - 1]?.files ?? []);
    const isFull = own > FULL || frames[keep - 1]?.isFull;
    if (own > 2 * weight || (isFull && !isWorn)) break;
    weight += own;
  }
  const kept = live.slice(0, keep).flat();
  const told = frames.slice(0, keep).flatMap(({ files }) => files);
  const last = frames[keep - 1];
  const joined = [...live.slice(keep).flat(), ...fresh];
  if (!last || kept.length * 2 < told.length) {
    const again = firstOf(kept, most);
    return planAnew(key, [...joined, ...again], kept.slice(again.length));
  }
  return { prefix: reader.at(0, last.end), chain: last.next, told, gathered: inOrder(joined), later: [] };
}

/**
 * What is left where nothing may be told of some files any more: the frames that do not tell of them. Throws what {@link framesOf}
 * throws.
 */
export function partsWithout(
  reader: Reader,
  key: VaultKey,
  gone: ReadonlySet<string>,
): { parts: readonly Buffer[]; told: readonly TextFile[] } {
  const { prefix, chain: start } = planAnew(key, []);
  const parts = [prefix];
  const told: TextFile[] = [];
  let chain = start;
  for (const frame of framesOf(reader, key)) {
    if (frame.files.some(({ fileId }) => gone.has(fileId))) continue;
    const { bytes, next } = frame.resealed(key, chain);
    parts.push(bytes);
    chain = next;
    told.push(...frame.files);
  }
  return { parts, told };
}

/** The first of some files that have so many sealed bytes together, one at least. */
export function firstOf(files: readonly TextFile[], most: number): readonly TextFile[] {
  let weight = 0;
  const end = files.findIndex(({ size }, index) => {
    weight += size;
    return weight > most && index > 0;
  });
  return end === -1 ? files : files.slice(0, end);
}

/** The files that changed last come last, so that little time is left for them to change again. */
export function inOrder(files: readonly TextFile[]): TextFile[] {
  return [...files].sort((a, b) => a.mtimeMs - b.mtimeMs);
}

/** The sealed bytes of files. */
export function weigh(files: readonly TextFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** The frames of an index. Throws `UNAUTHENTIC`, `KEY_OTHER`, `NEWER_VERSION`, `FAILED` where it is not to be believed. */
export function framesOf(reader: Reader, key: VaultKey): TextFrame[] {
  const { size } = reader.stamp;
  const start = reader.at(0, Math.min(HEADER_LENGTH, size));
  const header = decodeHeader(start);
  if (header.keyId !== key.id) throw new CofferError('KEY_OTHER', 'it is sealed with another key');
  if (header.kind !== 'index') throw unauthentic('it is no index');
  const frames: TextFrame[] = [];
  let chain = firstLink(start);
  for (let offset = HEADER_LENGTH; offset < size; ) {
    const frame = new TextFrame(reader, key, chain, offset);
    frames.push(frame);
    chain = frame.next;
    offset = frame.end;
  }
  return frames;
}

/** The frames that are new, each sealed as soon as it is full. */
export class Frames {
  readonly files: TextFile[] = [];
  readonly #key: VaultKey;
  readonly #sealed: Buffer[] = [];
  #chain: Chain;
  #young: { file: TextFile; trigrams: Uint32Array }[] = [];
  #pairs = 0;

  constructor(key: VaultKey, chain: Chain) {
    this.#key = key;
    this.#chain = chain;
  }

  /** Adds a file and its trigrams. */
  add(file: TextFile, trigrams: Uint32Array): void {
    if (trigrams.length > PAIRS) return; // hardly a text would be told not to be in there
    if (this.#pairs + trigrams.length > PAIRS) this.seal(true);
    this.#young.push({ file, trigrams });
    this.#pairs += trigrams.length;
    this.files.push(file);
  }

  /** Gives them all, the last one sealed as well. */
  seal(full = false): readonly Buffer[] {
    if (this.#young.length > 0) {
      const files = this.#young.map(({ file }) => file);
      const trigrams = this.#young.map((young) => young.trigrams);
      const { bytes, next } = sealTexts(this.#key, this.#chain, files, trigrams, full);
      this.#sealed.push(bytes);
      this.#chain = next;
    }
    this.#young = [];
    this.#pairs = 0;
    return this.#sealed;
  }
}
