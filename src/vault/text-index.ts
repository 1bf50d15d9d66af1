import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { type Chain, firstLink } from '../envelope/chain.ts';
import { decodeHeader, encodeHeader, HEADER_LENGTH, unauthentic } from '../envelope/format.ts';
import type { VaultKey } from '../envelope/key.ts';
import { CofferError, isCofferError } from '../errors.ts';
import { dropCache, type FileState, isSameState, isSettled, stateOf, writeCache } from '../files/cache.ts';
import { openReader, type Reader } from '../files/reader.ts';
import { isSystemError } from '../files/reason.ts';
import type { VaultDirectory } from './directory.ts';
import type { Unlocked } from './keys.ts';
import { sealTexts, type TextFile, TextFrame } from './text-frame.ts';
import { isIn } from './text-postings.ts';

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

/** Gives the trigrams of a file, each once. Throws a CofferError where it can't be read. */
export type Gather = (fileId: string) => Promise<Uint32Array>;

/** More trigrams than these tell little more; the parts of a long text are spread over it. */
const ASKED = 16;
/** Fewer sealed bytes than this are sooner searched directly than written down, and so is this share of what is written already. */
const LITTLE = 64 * 1024;
const LITTLE_SHARE = 1 / 64;
/** The most sealed bytes that are looked into after one search: some seconds. */
const MUCH = 48 * 1024 * 1024;
/** The most pairs of a trigram and a file in one frame: putting them together takes twenty bytes each. */
const PAIRS = 3 * 1024 * 1024;
/** Frames of more sealed bytes than this stay as they are: joining them would save little. */
const FULL = 16 * 1024 * 1024;

/** The index of what is said in a vault's files. Nothing here throws for the sake of the disk, or of what stands on it. */
export class TextIndex {
  readonly #place: VaultDirectory;
  readonly #unlock: () => Promise<Unlocked>;
  #damaged: FileState | undefined;
  #work: Promise<void> = Promise.resolve();

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

  /** Waits until what {@link keep} began is done. */
  async settle(): Promise<void> {
    await this.#work;
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
      const fresh = this.#settled(fileIds);
      const written = stateOf(this.#place.texts)?.size ?? 0;
      if (weigh(fresh) < Math.max(LITTLE, written * LITTLE_SHARE)) return;
      const plan = this.#ifReadable((reader) => planFor(reader, key, fresh, (file) => this.#isCurrent(file)));
      if (plan === undefined && !this.#mayReplace()) return;
      const { prefix, chain, kept, gathered } = plan ?? begin(key, fresh);
      const frames = new Frames(key, chain);
      for (const file of gathered) {
        const trigrams = await ifGathered(gather, file.fileId);
        if (trigrams && this.#isCurrent(file)) frames.add(file, trigrams);
        await setImmediate();
      }
      this.#write(prefix, kept, frames);
    } catch (error) {
      // The disk, or a key that is not at hand any more: the index stays as it is, and searches take their time.
      if (!isCofferError(error) && !isSystemError(error)) throw error;
    }
  }

  /**
   * What was taken out of a file while it was being looked into must not come back with the index. Whoever takes something out changes
   * the file first and drops the index then: where a file has changed, either it is not written, or it is removed again.
   */
  #write(prefix: Buffer, kept: readonly TextFile[], frames: Frames): void {
    const parts = frames.seal();
    const told = [...kept, ...frames.files];
    const isTrue = (): boolean => told.every((file) => this.#isCurrent(file));
    if (parts.length === 0 || !isTrue()) return;
    if (writeCache(this.#place.texts, () => [prefix, ...parts]) && !isTrue()) dropCache(this.#place.texts);
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

/** What is written next: what stays, byte for byte, and the files that are gathered for the frames behind it. */
interface Plan {
  readonly prefix: Buffer;
  readonly chain: Chain;
  readonly kept: readonly TextFile[];
  readonly gathered: readonly TextFile[];
}

function begin(key: VaultKey, fresh: readonly TextFile[]): Plan {
  const fileId = randomBytes(16).toString('hex');
  const prefix = encodeHeader({ kind: 'index', keyId: key.id, fileId, generation: 1n });
  return { prefix, chain: firstLink(prefix), kept: [], gathered: inOrder(fresh) };
}

/**
 * The last frames go where what is new is more than half of what they tell: each file is gathered anew only as often as the index
 * doubles. All go where less than half of it is still true.
 */
function planFor(
  reader: Reader,
  key: VaultKey,
  fresh: readonly TextFile[],
  isCurrent: (file: TextFile) => boolean,
): Plan {
  const frames = framesOf(reader, key);
  const renewed = new Set(fresh.map(({ fileId }) => fileId));
  const live = frames.map(({ files }) => files.filter((file) => !renewed.has(file.fileId) && isCurrent(file)));
  let keep = frames.length;
  let weight = weigh(fresh);
  for (; keep > 0; keep--) {
    const own = weigh(live[keep - 1] ?? []);
    const isWorn = own * 2 < weigh(frames[keep - 1]?.files ?? []);
    if (own > 2 * weight || (own > FULL && !isWorn)) break;
    weight += own;
  }
  const kept = live.slice(0, keep).flat();
  const told = frames.slice(0, keep).flatMap(({ files }) => files);
  if (kept.length * 2 < told.length) keep = 0;
  const last = frames[keep - 1];
  if (!last) return begin(key, [...live.flat(), ...fresh]);
  const gathered = inOrder([...live.slice(keep).flat(), ...fresh]);
  return { prefix: reader.at(0, last.end), chain: last.next, kept, gathered };
}

/** The files that changed last come last, so that little time is left for them to change again; no more than are dealt with at once. */
function inOrder(files: readonly TextFile[]): TextFile[] {
  let weight = 0;
  const some = files.filter(({ size }) => {
    weight += size;
    return weight <= MUCH;
  });
  return some.sort((a, b) => a.mtimeMs - b.mtimeMs);
}

function weigh(files: readonly TextFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

function framesOf(reader: Reader, key: VaultKey): TextFrame[] {
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

async function ifGathered(gather: Gather, fileId: string): Promise<Uint32Array | undefined> {
  try {
    return await gather(fileId);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return undefined; // it is searched directly, and that says why it can't be
  }
}

/** The frames that are new, each sealed as soon as it is full. */
class Frames {
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

  add(file: TextFile, trigrams: Uint32Array): void {
    if (trigrams.length > PAIRS) return; // hardly a text would be told not to be in there
    if (this.#pairs + trigrams.length > PAIRS) this.seal();
    this.#young.push({ file, trigrams });
    this.#pairs += trigrams.length;
    this.files.push(file);
  }

  seal(): readonly Buffer[] {
    if (this.#young.length > 0) {
      const files = this.#young.map(({ file }) => file);
      const trigrams = this.#young.map((young) => young.trigrams);
      const { bytes, next } = sealTexts(this.#key, this.#chain, files, trigrams);
      this.#sealed.push(bytes);
      this.#chain = next;
    }
    this.#young = [];
    this.#pairs = 0;
    return this.#sealed;
  }
}
