import { randomBytes } from 'node:crypto';
import { type Chain, firstLink } from '../../envelope/chain.ts';
import { decodeHeader, encodeHeader, HEADER_LENGTH, unauthentic } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { CofferError } from '../../errors.ts';
import type { Reader } from '../../files/reader.ts';
import { sealTexts, type TextFile, TextFrame } from './frame.ts';

/*
 * Plans the next content of `texts`: the frames that stay, byte for byte, because each is sealed to
 * follow the one before, and new ones after them.
 */

/** Maximum number of trigram-file pairs in one frame: building it takes twenty bytes for each. */
const PAIRS = 3 * 1024 * 1024;

/** Frames of more sealed bytes than this also count as full: joining them would save little. */
const FULL = 16 * 1024 * 1024;

/**
 * The next content of `texts`: the part that stays, and the files to gather for the frames after
 * it.
 */
export interface IndexPlan {
  readonly prefix: Buffer;
  readonly chain: Chain;
  /** The files in the part that stays, whether their entries are current or not. */
  readonly covered: readonly TextFile[];
  readonly gathered: readonly TextFile[];
  /** Current files that a rebuilt index leaves out for now, to be added again later. */
  readonly later: readonly TextFile[];
}

/** Tells whether a file is unchanged since its trigrams were gathered. */
export type IsCurrent = (file: TextFile) => boolean;

/** Plans an index of these files alone. */
export function planAnew(key: VaultKey, fresh: readonly TextFile[], later: readonly TextFile[] = []): IndexPlan {
  const fileId = randomBytes(16).toString('hex');
  const prefix = encodeHeader({ kind: 'index', keyId: key.id, fileId, generation: 1n });
  return { prefix, chain: firstLink(prefix), covered: [], gathered: inOrder(fresh), later };
}

/**
 * Plans to add files. The last frames are rebuilt if the new files are more than half of their
 * size, unless they are full: so each file is gathered again only as often as the index doubles.
 * The whole index is rebuilt if less than half of it is current; then no more than `most` sealed
 * bytes of the current part are gathered at once. Throws as {@link framesOf}.
 */
export function planFor(
  reader: Reader,
  key: VaultKey,
  { fresh, most }: { fresh: readonly TextFile[]; most: number },
  isCurrent: IsCurrent,
): IndexPlan {
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
  const covered = frames.slice(0, keep).flatMap(({ files }) => files);
  const last = frames[keep - 1];
  const joined = [...live.slice(keep).flat(), ...fresh];
  if (!last || kept.length * 2 < covered.length) {
    const again = firstOf(kept, most);
    return planAnew(key, [...joined, ...again], kept.slice(again.length));
  }
  return { prefix: reader.at(0, last.end), chain: last.next, covered, gathered: inOrder(joined), later: [] };
}

/**
 * Returns what is left of an index once files are removed: the frames that don't cover any of them.
 * Throws as {@link framesOf}.
 */
export function partsWithout(
  reader: Reader,
  key: VaultKey,
  gone: ReadonlySet<string>,
): { parts: readonly Buffer[]; covered: readonly TextFile[] } {
  const { prefix, chain: start } = planAnew(key, []);
  const parts = [prefix];
  const covered: TextFile[] = [];
  let chain = start;
  for (const frame of framesOf(reader, key)) {
    if (frame.files.some(({ fileId }) => gone.has(fileId))) continue;
    const { bytes, next } = frame.resealed(key, chain);
    parts.push(bytes);
    chain = next;
    covered.push(...frame.files);
  }
  return { parts, covered };
}

/** Returns the first files whose sealed bytes add up to at most `most`, but at least one. */
export function firstOf(files: readonly TextFile[], most: number): readonly TextFile[] {
  let weight = 0;
  const end = files.findIndex(({ size }, index) => {
    weight += size;
    return weight > most && index > 0;
  });
  return end === -1 ? files : files.slice(0, end);
}

/**
 * Sorts files by their last change, most recent last: that leaves them little time to change again
 * before they are written.
 */
export function inOrder(files: readonly TextFile[]): TextFile[] {
  return [...files].sort((a, b) => a.mtimeMs - b.mtimeMs);
}

/** Returns the sealed bytes of files in total. */
export function weigh(files: readonly TextFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/**
 * Opens the frames of an index. Throws `UNAUTHENTIC`, `KEY_OTHER`, `NEWER_VERSION`, `FAILED` if it
 * can't be trusted.
 */
export function framesOf(reader: Reader, key: VaultKey): TextFrame[] {
  const { size } = reader.stamp;
  const start = reader.at(0, Math.min(HEADER_LENGTH, size));
  const header = decodeHeader(start);
  if (header.keyId !== key.id) throw new CofferError('KEY_OTHER', 'it is sealed with another key');
  if (header.kind !== 'index') throw unauthentic('it is not an index');
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

/** The new frames, each sealed as soon as it is full. */
export class IndexFrames {
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
    if (trigrams.length > PAIRS) return; // the index could rule out hardly any text for it
    if (this.#pairs + trigrams.length > PAIRS) this.seal(true);
    this.#young.push({ file, trigrams });
    this.#pairs += trigrams.length;
    this.files.push(file);
  }

  /** Seals the last frame, and returns all of them. */
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
