import { setImmediate } from 'node:timers/promises';
import { decodeHeader, HEADER_LENGTH } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { isCofferError } from '../../errors.ts';
import { dropCache, type FileState, isSameState, isSettled, stateOf, writeCache } from '../../files/cache.ts';
import { openReader, type Reader } from '../../files/reader.ts';
import { isSystemError } from '../../files/reason.ts';
import type { VaultDirectory } from '../directory.ts';
import { isCurrentKey } from '../keys/current-key.ts';
import type { Unlocked } from '../keys/options.ts';
import type { TextFile, TextFrame } from './frame.ts';
import { Frames, firstOf, framesOf, inOrder, partsWithout, planAnew, planFor, weigh } from './plan.ts';
import { isIn } from './postings.ts';

/*
 * `texts` tells which files can't have a text. It is believed of a file that is in the very state that it was in when its trigrams
 * were gathered, and of no other; where it can't be read, for whatever reason, it is as if it were not there. So it costs time
 * where it is wrong or missing, and never changes what is found.
 */

/** What is known of some files. */
export interface LookedUp {
  /** The files that can't have the text. */
  readonly without: ReadonlySet<string>;
  /** The files of which nothing is known. */
  readonly unknown: readonly string[];
}

/** A file that is asked for, and the state that a list found it in a moment ago; without one it is looked at again. */
export interface Sought {
  readonly fileId: string;
  readonly state?: FileState | undefined;
}

/** Is told how many of all files are done. */
export type OnProgress = (done: number, total: number) => void;

/** Gives the trigrams of a file, each once. Throws a CofferError where it can't be read. */
export type Gather = (fileId: string) => Promise<Uint32Array>;

/** More trigrams than these tell little more; the parts of a long text are spread over it. */
const ASKED = 16;
/** Fewer sealed bytes than this are sooner searched directly than written down, and so is this share of what is written already. */
const LITTLE = 64 * 1024;
const LITTLE_SHARE = 1 / 64;
/**
 * How many sealed bytes are looked into before what was found is written, from some seconds' worth to half a minute's: as much as about
 * what is written already, because all of that is written again each time.
 */
const PORTION = 48 * 1024 * 1024;
const MUCH = 256 * 1024 * 1024;
const PORTION_SHARE = 16;
/** A larger index than this is made again rather than held in memory. */
const HELD = 256 * 1024 * 1024;

/** The index of what is said in a vault's files. Nothing here throws for the sake of the disk, or of what stands on it. */
export class TextIndex {
  readonly #place: VaultDirectory;
  readonly #unlock: () => Promise<Unlocked>;
  #damaged: FileState | undefined;
  #work: Promise<void> = Promise.resolve();
  #onProgress: OnProgress | undefined;

  constructor(place: VaultDirectory, unlock: () => Promise<Unlocked>) {
    this.#place = place;
    this.#unlock = unlock;
  }

  /** Tells which of some files can't have a text that has these trigrams. Throws `KEY_*`. */
  async lookUp(files: readonly Sought[], trigrams: readonly number[]): Promise<LookedUp> {
    if (trigrams.length === 0) return { without: new Set(), unknown: [] };
    const { key } = await this.#unlock();
    const step = Math.max(1, trigrams.length / ASKED);
    const asked = trigrams.filter((_, index) => Math.floor(index / step) > Math.floor((index - 1) / step));
    const known = this.#ifReadable((reader) => this.#answers(framesOf(reader, key), files, asked)) ?? new Map();
    const fileIds = files.map(({ fileId }) => fileId);
    const without = new Set(fileIds.filter((fileId) => known.get(fileId) === false));
    return { without, unknown: fileIds.filter((fileId) => !known.has(fileId)) };
  }

  /** Takes files up that are not known, in the background. What stands in the way leaves them to be searched directly. */
  keep(fileIds: readonly string[], gather: Gather): void {
    if (fileIds.length > 0) this.#work = this.#work.then(() => this.#update(fileIds, gather));
  }

  /**
   * Waits until what {@link keep} began is done: all of it where somebody is told how many files are, else no more than some seconds'
   * worth. What is done is kept whenever the process ends.
   */
  async settle(onProgress?: OnProgress): Promise<void> {
    this.#onProgress = onProgress ?? this.#onProgress;
    await this.#work;
  }

  /**
   * Takes it into memory, but for what it says of files that are about to be removed. Whoever has removed them, and with them the index,
   * puts that back with what this gives.
   */
  async without(fileIds: readonly string[]): Promise<() => void> {
    if (this.#size === 0 || this.#size > HELD) return () => undefined;
    const { key } = await this.#unlock();
    const gone = new Set(fileIds);
    const left = this.#ifLasting((reader) => partsWithout(reader, key, gone));
    return () => {
      if (left && left.told.size > 0) this.#write(key, left.parts, left.told);
    };
  }

  #answers(frames: readonly TextFrame[], files: readonly Sought[], trigrams: readonly number[]): Map<string, boolean> {
    const answers = new Map<string, boolean>();
    const states = new Map(files.map(({ fileId, state }) => [fileId, state ?? stateOf(this.#place.path(fileId))]));
    for (const frame of frames) {
      let found: Uint8Array | undefined;
      for (const [place, file] of frame.files.entries()) {
        const state = states.get(file.fileId);
        if (!state || !isSameState(state, file)) continue;
        found ??= frame.filesWith(trigrams);
        answers.set(file.fileId, isIn(found, place));
      }
    }
    return answers;
  }

  async #update(fileIds: readonly string[], gather: Gather): Promise<void> {
    try {
      await setImmediate(); // whoever asked goes on first
      const { key } = await this.#unlock();
      let rest = inOrder(this.#settled(fileIds));
      let done = 0;
      if (weigh(rest) < Math.max(LITTLE, this.#size * LITTLE_SHARE)) return;
      while (rest.length > 0) {
        const most = Math.max(PORTION, Math.min(this.#size * PORTION_SHARE, MUCH));
        const fresh = firstOf(rest, most);
        rest = rest.slice(fresh.length);
        const total = done + fresh.length + rest.length;
        const onDone = (): void => this.#onProgress?.(++done, total);
        const later = await this.#takeUp(key, { fresh, most }, gather, onDone);
        if (!later || !this.#onProgress) return;
        rest.push(...later);
      }
    } catch (error) {
      // The disk, or a key that is not at hand any more: the index stays as it is, and searches take their time.
      if (!isCofferError(error) && !isSystemError(error)) throw error;
    }
  }

  /** Gives the files that are to be taken up again; undefined where no more can be written. */
  async #takeUp(
    key: VaultKey,
    asked: { fresh: readonly TextFile[]; most: number },
    gather: Gather,
    onDone: () => void,
  ): Promise<readonly TextFile[] | undefined> {
    const plan = this.#ifLasting((reader) => planFor(reader, key, asked, (file) => this.#isCurrent(file)));
    if (plan === undefined && !this.#mayReplace()) return undefined;
    const { prefix, chain, gathered, later } = plan ?? planAnew(key, asked.fresh);
    const frames = new Frames(key, chain);
    const fresh = new Set(asked.fresh);
    for (const file of gathered) {
      const trigrams = await ifGathered(gather, file.fileId);
      if (trigrams && this.#isCurrent(file)) frames.add(file, trigrams);
      if (fresh.has(file)) onDone();
      await setImmediate();
    }
    const parts = frames.seal();
    const told = new Map<string, FileState | undefined>(plan?.told);
    for (const file of frames.files) told.set(file.fileId, file);
    return parts.length === 0 || this.#write(key, [prefix, ...parts], told) ? later : undefined;
  }

  /**
   * What was taken out of a file must not come back with the index, nor anything sealed with a key that is no more. Whoever takes something
   * out drops the index, changes the file, and drops the index again: where a file that it tells of has changed since the index was
   * read, or the file itself, either it is not written, or it is removed. Gives false where the disk does not take it.
   */
  #write(key: VaultKey, parts: readonly Buffer[], told: ReadonlyMap<string, FileState | undefined>): boolean {
    const isAsTold = ([fileId, state]: [string, FileState | undefined]): boolean => {
      const now = stateOf(this.#place.path(fileId));
      return now && state ? isSameState(now, state) : now === state;
    };
    const isTrue = (): boolean => isCurrentKey(this.#place, key.id) && told.entries().every(isAsTold);
    if (!isTrue()) return true;
    const isWritten = writeCache(this.#place.texts, () => parts);
    if (isWritten && !isTrue()) dropCache(this.#place.texts);
    return isWritten;
  }

  get #size(): number {
    return stateOf(this.#place.texts)?.size ?? 0;
  }

  /** Those of some files that have been as they are for long enough: one changed a moment ago may change again and look alike. */
  #settled(fileIds: readonly string[]): TextFile[] {
    const now = Date.now();
    return fileIds.flatMap((fileId) => {
      const state = stateOf(this.#place.path(fileId));
      if (!state || !isSettled(state, now)) return [];
      const { ino, size, mtimeMs, ctimeMs } = state;
      return [{ fileId, ino, size, mtimeMs, ctimeMs }];
    });
  }

  #isCurrent(file: TextFile): boolean {
    const state = stateOf(this.#place.path(file.fileId));
    return state !== undefined && isSameState(state, file);
  }

  /**
   * What `read` makes of the index that is to be put back, with the states of the files that it tells of. They may have changed since it
   * was made; but where it is still there behind them, nobody has begun to take anything out of them before.
   */
  #ifLasting<T extends { readonly told: readonly TextFile[] }>(
    read: (reader: Reader) => T,
  ): (Omit<T, 'told'> & { told: ReadonlyMap<string, FileState | undefined> }) | undefined {
    const before = stateOf(this.#place.texts);
    const found = before && this.#ifReadable(read);
    if (!found) return undefined;
    const told = new Map(found.told.map(({ fileId }) => [fileId, stateOf(this.#place.path(fileId))]));
    const now = stateOf(this.#place.texts);
    return now && isSameState(now, before) ? { ...found, told } : undefined;
  }

  /** What `read` finds in the index; undefined where it is not there or not to be believed. */
  #ifReadable<T>(read: (reader: Reader) => T): T | undefined {
    const state = stateOf(this.#place.texts);
    if (!state || (this.#damaged && isSameState(state, this.#damaged))) return undefined;
    try {
      using reader = openReader(this.#place.texts);
      return read(reader);
    } catch (error) {
      if (!isCofferError(error) && !isSystemError(error)) throw error;
      this.#damaged = state;
      return undefined;
    }
  }

  /** Something else in its place, and what a newer version made, stay as they are. */
  #mayReplace(): boolean {
    if (stateOf(this.#place.texts) === undefined) return true;
    try {
      using reader = openReader(this.#place.texts);
      decodeHeader(reader.at(0, Math.min(HEADER_LENGTH, reader.stamp.size)));
      return true;
    } catch (error) {
      return isCofferError(error, 'UNAUTHENTIC');
    }
  }
}

async function ifGathered(gather: Gather, fileId: string): Promise<Uint32Array | undefined> {
  try {
    return await gather(fileId);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return undefined; // it is searched directly, and that says why it can't be
  }
}
