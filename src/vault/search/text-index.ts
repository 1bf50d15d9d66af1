import { setImmediate } from 'node:timers/promises';
import { decodeHeader, HEADER_LENGTH } from '../../envelope/format.ts';
import type { VaultKey } from '../../envelope/key.ts';
import { isCofferError } from '../../errors.ts';
import { openReader, type Reader } from '../../files/reader.ts';
import { isSystemError } from '../../files/reason.ts';
import { dropCache, type FileState, isSameState, isSettled, stateOf, writeCache } from '../../files/replace/cache.ts';
import type { VaultDirectory } from '../directory.ts';
import { isCurrentKey } from '../keys/current-key.ts';
import type { Unlocked } from '../keys/options.ts';
import type { OnProgress } from '../progress.ts';
import type { TextFile, TextFrame } from './frame.ts';
import { firstOf, framesOf, IndexFrames, inOrder, partsWithout, planAnew, planFor, weigh } from './plan.ts';
import { isIn } from './postings.ts';

/*
 * `texts` records which files can't contain a text. An entry counts only for a file in exactly the
 * state in which its trigrams were gathered. An unreadable index, for whatever reason, is treated
 * as missing. So a wrong or missing index costs time, but never changes the results.
 */

/** Answer of the index about some files. */
export interface LookedUp {
  /** Files that can't contain the text. */
  readonly without: ReadonlySet<string>;
  /** Files that the index says nothing about. */
  readonly unknown: readonly string[];
}

/**
 * A file to look up, and its state as a list found it a moment ago; if omitted, it is determined
 * again.
 */
export interface Sought {
  readonly fileId: string;
  readonly state?: FileState | undefined;
}

/** Returns the trigrams of a file, each once. Throws a CofferError if the file can't be read. */
export type Gather = (fileId: string) => Promise<Uint32Array>;

/** Maximum number of trigrams looked up: more add little. They are spread over a long text. */
const MAX_TRIGRAMS = 16;
/**
 * Files with fewer sealed bytes than this, or than this share of the index, are faster searched
 * directly than indexed.
 */
const LITTLE = 64 * 1024;
const LITTLE_SHARE = 1 / 64;
/**
 * How many sealed bytes are gathered before the result is written: between a few seconds' worth and
 * half a minute's. Grows with the index, because all of it is written again each time.
 */
const PORTION = 48 * 1024 * 1024;
const MUCH = 256 * 1024 * 1024;
const PORTION_SHARE = 16;
/** A larger index is rebuilt instead of held in memory. */
const HELD = 256 * 1024 * 1024;

/**
 * The text search index of a vault. Errors of the disk, or about the content of the file, are never
 * thrown.
 */
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

  /** Tells which of some files can't contain a text that has these trigrams. Throws `KEY_*`. */
  async lookUp(files: readonly Sought[], trigrams: readonly number[]): Promise<LookedUp> {
    if (trigrams.length === 0) return { without: new Set(), unknown: [] };
    const { key } = await this.#unlock();
    const step = Math.max(1, trigrams.length / MAX_TRIGRAMS);
    const asked = trigrams.filter((_, index) => Math.floor(index / step) > Math.floor((index - 1) / step));
    const known = this.#ifReadable((reader) => this.#answers(framesOf(reader, key), files, asked)) ?? new Map();
    const fileIds = files.map(({ fileId }) => fileId);
    const without = new Set(fileIds.filter((fileId) => known.get(fileId) === false));
    return { without, unknown: fileIds.filter((fileId) => !known.has(fileId)) };
  }

  /**
   * Adds unknown files to the index in the background. On an error, they are left to be searched
   * directly.
   */
  keep(fileIds: readonly string[], gather: Gather): void {
    if (fileIds.length > 0) this.#work = this.#work.then(() => this.#update(fileIds, gather));
  }

  /**
   * Waits until the work of {@link keep} is done: all of it if `onProgress` is passed, else no more
   * than a few seconds' worth. Finished work is kept whenever the process ends.
   */
  async settle(onProgress?: OnProgress): Promise<void> {
    this.#onProgress = onProgress ?? this.#onProgress;
    await this.#work;
  }

  /**
   * Holds the index in memory, except what it says about files that are about to be removed.
   * Returns a function that writes it back, to call once the files, and the index with them, have
   * been removed.
   */
  async without(fileIds: readonly string[]): Promise<() => void> {
    if (this.#size === 0 || this.#size > HELD) return () => undefined;
    const { key } = await this.#unlock();
    const gone = new Set(fileIds);
    const left = this.#ifLasting((reader) => partsWithout(reader, key, gone));
    return () => {
      if (left && left.covered.size > 0) this.#write(key, left.parts, left.covered);
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
      await setImmediate(); // let the caller continue first
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
        const later = await this.#add(key, { fresh, most }, gather, onDone);
        if (!later || !this.#onProgress) return;
        rest.push(...later);
      }
    } catch (error) {
      // A disk error, or the key is no longer available: the index stays as it is, and searches are
      // slow.
      if (!isCofferError(error) && !isSystemError(error)) throw error;
    }
  }

  /**
   * Gathers files and writes the index. Returns the files to add again later, or undefined if
   * nothing more can be written.
   */
  async #add(
    key: VaultKey,
    asked: { fresh: readonly TextFile[]; most: number },
    gather: Gather,
    onDone: () => void,
  ): Promise<readonly TextFile[] | undefined> {
    const plan = this.#ifLasting((reader) => planFor(reader, key, asked, (file) => this.#isCurrent(file)));
    if (plan === undefined && !this.#mayReplace()) return undefined;
    const { prefix, chain, gathered, later } = plan ?? planAnew(key, asked.fresh);
    const frames = new IndexFrames(key, chain);
    const fresh = new Set(asked.fresh);
    for (const file of gathered) {
      const trigrams = await ifGathered(gather, file.fileId);
      if (trigrams && this.#isCurrent(file)) frames.add(file, trigrams);
      if (fresh.has(file)) onDone();
      await setImmediate();
    }
    const parts = frames.seal();
    const covered = new Map<string, FileState | undefined>(plan?.covered);
    for (const file of frames.files) covered.set(file.fileId, file);
    return parts.length === 0 || this.#write(key, [prefix, ...parts], covered) ? later : undefined;
  }

  /**
   * Writes the index. What was removed from a file must not come back with it, nor anything sealed
   * with a key that has been dropped. A process that removes something drops the index, changes the
   * file, and drops the index again: so if a covered file, or vault.json, has changed since the
   * index was read, the new one is not written or is removed again. Returns false if it can't be
   * written.
   */
  #write(key: VaultKey, parts: readonly Buffer[], covered: ReadonlyMap<string, FileState | undefined>): boolean {
    const isAsTold = ([fileId, state]: [string, FileState | undefined]): boolean => {
      const now = stateOf(this.#place.path(fileId));
      return now && state ? isSameState(now, state) : now === state;
    };
    const isTrue = (): boolean => isCurrentKey(this.#place, key.id) && covered.entries().every(isAsTold);
    if (!isTrue()) return true;
    const isWritten = writeCache(this.#place.texts, () => parts);
    if (isWritten && !isTrue()) dropCache(this.#place.texts);
    return isWritten;
  }

  get #size(): number {
    return stateOf(this.#place.texts)?.size ?? 0;
  }

  /**
   * Returns those of some files that have been unchanged for long enough: a file changed a moment
   * ago may change again and keep the same state.
   */
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
   * Reads the part of the index that will be written back, with the states of the files that it
   * covers. These may have changed since the index was written; but as long as the index still
   * exists after they are determined, no process had begun to remove anything from them before.
   */
  #ifLasting<T extends { readonly covered: readonly TextFile[] }>(
    read: (reader: Reader) => T,
  ): (Omit<T, 'covered'> & { covered: ReadonlyMap<string, FileState | undefined> }) | undefined {
    const before = stateOf(this.#place.texts);
    const found = before && this.#ifReadable(read);
    if (!found) return undefined;
    const covered = new Map(found.covered.map(({ fileId }) => [fileId, stateOf(this.#place.path(fileId))]));
    const now = stateOf(this.#place.texts);
    return now && isSameState(now, before) ? { ...found, covered } : undefined;
  }

  /** Returns what `read` finds in the index; undefined if it is missing or can't be trusted. */
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

  /**
   * Tells whether the index may be replaced: what isn't a regular file, or was written by a newer
   * version, stays.
   */
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
    return undefined; // searching it directly reports the reason
  }
}
