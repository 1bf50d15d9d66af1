import { randomBytes } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { encodeHeader, type Header, type Segment } from '../envelope/format.ts';
import { firstLink, sealFrame } from '../envelope/seal.ts';
import { unpackSegment } from '../envelope/segment.ts';
import { CofferError, isCofferError } from '../errors.ts';
import { type FileState, isSettled, stateOf } from '../files/cache.ts';
import { keepCopy } from '../files/keep.ts';
import { FileLock } from '../files/lock.ts';
import { isSystemError, reasonOf } from '../files/reason.ts';
import { syncDirectory } from '../files/remove.ts';
import { replaceFileSync, sweepTemps } from '../files/replace.ts';
import { pack } from './body.ts';
import type { VaultDirectory } from './directory.ts';
import { isInteger, isText } from './fields.ts';
import type { Unlocked } from './keys.ts';
import { isFileId } from './lease.ts';
import { openExpected, openHead } from './open.ts';
import type { Mark, SealedFile } from './sealed-file.ts';

/*
 * `seen` holds the high-water marks against rollback: how far each sealed file had come when it was last looked at. A mark may
 * be older than its file, never newer: it is written after the file is durable, or not at all. So whatever kills a process, and in
 * whatever order, no honest file is ever behind its mark.
 */

/** The most bytes that `seen` has, as lines and as a file: some 400,000 marks. */
const LIMIT = 64 * 1024 * 1024;

/** A file changed less than this ago may change again under the same stamp: clocks of file systems tick that slowly. */
const SETTLED_MS = 100;

/** The keys that a vault's files may be sealed with. */
type Keys = Pick<Unlocked, 'key' | 'retiring'>;

/** What `seen` says: its marks by file id, none where it is not there (`header` is undefined then) or can't be read (`error`). */
export interface Marks {
  readonly marks: ReadonlyMap<string, Mark>;
  readonly header?: Header | undefined;
  readonly error?: CofferError | undefined;
}

/** The high-water marks of a vault. Reading needs no lock; whatever writes must be called under `locks/vault`. */
export class Seen {
  readonly #place: VaultDirectory;
  #trouble: CofferError | undefined;
  #known: { stamp: string; found: Marks } | undefined;

  constructor(place: VaultDirectory) {
    this.#place = place;
  }

  /**
   * Why marks could not be written when that was last tried; undefined where they were. A mark guards a save that is durable
   * already, so its failure must not make that save fail: it is kept here, for whoever talks to the person to tell.
   */
  get trouble(): CofferError | undefined {
    return this.#trouble;
  }

  /** What the file looks like, where it can't change without looking otherwise. Says nothing of whether it opens. */
  get state(): FileState | undefined {
    const now = Date.now();
    const state = stateOf(this.#place.seen);
    return state && isSettled(state, now) ? state : undefined;
  }

  /** Reads the marks, where they may have changed since; what is wrong with the file is given, not thrown. */
  read(keys: Keys): Marks {
    const stamp = this.#stamp(keys);
    if (stamp !== undefined && stamp === this.#known?.stamp) return this.#known.found;
    const found = this.#open(keys);
    this.#known = stamp !== undefined && found.header ? { stamp, found } : undefined;
    return found;
  }

  /** Tells one state of the file and its keys from all others; undefined where it may change again under the same stamp. */
  #stamp({ key, retiring }: Keys): string | undefined {
    try {
      const stats = lstatSync(this.#place.seen, { throwIfNoEntry: false });
      if (!stats || Date.now() - stats.ctimeMs <= SETTLED_MS) return undefined;
      return [stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs, key.id, retiring?.id].join(' ');
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return undefined; // opening it says why
    }
  }

  #open({ key, retiring }: Keys): Marks {
    try {
      const opened = openExpected(this.#place.seen, { kind: 'seen', fileId: undefined, limit: LIMIT }, key, retiring);
      if (opened.torn || opened.links.length !== 1) throw damaged('it has more than one frame');
      return { header: opened.header, marks: decodeMarks(opened.segments) };
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return { marks: new Map(), error: error.code === 'SESSION_NOT_FOUND' ? undefined : error };
    }
  }

  /**
   * Makes the file where it is missing. Called before a file is added, so that a vault which has sealed files and no `seen`
   * has lost it: a process killed between its first save and its first mark leaves nothing to explain. Costs no flush but then.
   */
  ensure(keys: Keys): void {
    if (!this.#place.hasSeen) this.record(keys, new Map());
  }

  /**
   * Puts marks of files that are durable on record, beside those that another process wrote meanwhile. Writes only what is
   * new. Never throws a CofferError: what stood in the way is {@link trouble}.
   */
  record(keys: Keys, marks: ReadonlyMap<string, Mark>): void {
    this.#change(keys, (recorded) => {
      let changed = false;
      for (const [fileId, mark] of marks) changed = raise(recorded, fileId, mark) || changed;
      return changed;
    });
  }

  /** Puts on record how far files have come that this process saved, as far as that is known. Never throws, as {@link record}. */
  mark(keys: Keys, files: readonly (SealedFile | undefined)[]): void {
    const marks = files.flatMap((file): [string, Mark][] => (file?.mark ? [[file.fileId, file.mark]] : []));
    if (marks.length > 0) this.record(keys, new Map(marks));
  }

  /** Forgets files that are removed on purpose. Never throws a CofferError, as {@link record}. */
  drop(keys: Keys, fileIds: Iterable<string>): void {
    if (this.#place.hasSeen)
      this.#change(keys, (recorded) => [...fileIds].filter((fileId) => recorded.delete(fileId)).length > 0);
  }

  #change(keys: Keys, change: (marks: Map<string, Mark>) => boolean): void {
    try {
      const before = this.#readOwn(keys);
      const marks = new Map(before.marks);
      const changed = change(marks);
      if (changed || before.header?.keyId !== keys.key.id) this.#write(keys, before.header, marks);
      this.#trouble = undefined;
    } catch (error) {
      if (!isCofferError(error) && !isSystemError(error)) throw error;
      const code = isCofferError(error) ? error.code : 'NOT_SAVED';
      const message = `the marks against rollback could not be written: ${isCofferError(error) ? error.message : reasonOf(error)}`;
      this.#trouble = new CofferError(code, message, { cause: error });
    }
  }

  /** What is to be overwritten: a damaged file is kept in quarantine first, one that is not ours to judge is left alone. */
  #readOwn(keys: Keys): Marks {
    const found = this.read(keys);
    if (found.header) return found;
    if (found.error) {
      if (found.error.code !== 'UNAUTHENTIC') throw found.error;
      const note = `${found.error.message}\nthis is the file of marks against rollback as it was found; another was begun from the files as they were\n`;
      keepCopy(this.#place.seen, this.#place.quarantine, 'seen.damaged', note);
    }
    return { marks: this.#survey(keys) };
  }

  /**
   * Marks of the files as they are, where there are none to go on from. Those in use get theirs from whoever holds them. A process
   * that died may have left a name or a later frame that is not on the disk yet: names are flushed, and only first frames count.
   */
  #survey({ key, retiring }: Keys): Map<string, Mark> {
    const marks = new Map<string, Mark>();
    const fileIds = this.#place.fileIds();
    if (fileIds.length > 0) syncDirectory(this.#place.sessions);
    for (const fileId of fileIds) {
      if (FileLock.isHeld(join(this.#place.locks, fileId))) continue;
      try {
        const { header, links } = openHead(this.#place.path(fileId), fileId, key, retiring);
        const [link] = links;
        if (link) marks.set(fileId, { generation: header.generation, frames: 1, link });
      } catch (error) {
        if (!isCofferError(error)) throw error; // a file that can't be read is listed with its reason, and gets no mark
      }
    }
    return marks;
  }

  /** Synchronous, so that nothing of this process comes between the reading and the writing, and a final save can do it. */
  #write({ key }: Keys, before: Header | undefined, marks: ReadonlyMap<string, Mark>): void {
    sweepTemps(this.#place.root, (name) => name === 'seen');
    const fileId = before?.fileId ?? randomBytes(16).toString('hex');
    const header = encodeHeader({ kind: 'seen', keyId: key.id, fileId, generation: (before?.generation ?? 0n) + 1n });
    const lines = encodeMarks(marks);
    if (lines.length > LIMIT) throw new CofferError('NOT_SAVED', 'there are more files than marks fit');
    const content = { summary: Buffer.from('{}'), segments: pack([lines]) };
    replaceFileSync(this.#place.seen, [header, sealFrame(key, firstLink(header), content).bytes]);
  }
}

/** Takes a mark over where it is later than the one on record. */
function raise(marks: Map<string, Mark>, fileId: string, mark: Mark): boolean {
  const before = marks.get(fileId);
  const later =
    !before ||
    mark.generation > before.generation ||
    (mark.generation === before.generation && mark.frames > before.frames);
  if (later) marks.set(fileId, mark);
  return later;
}

function encodeMarks(marks: ReadonlyMap<string, Mark>): Buffer {
  const lines = [...marks].map(([file, { generation, frames, link }]) =>
    JSON.stringify({ file, generation: generation.toString(), frames, link: link.toString('hex') }),
  );
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}

function decodeMarks(segments: readonly Segment[]): Map<string, Mark> {
  if (segments.reduce((sum, { plainLength }) => sum + plainLength, 0) > LIMIT) throw damaged('it has too many marks');
  const marks = new Map<string, Mark>();
  for (const segment of segments) {
    for (const line of unpack(segment).toString().split('\n')) {
      if (line === '') continue;
      const { file, mark } = decodeMark(line);
      raise(marks, file, mark);
    }
  }
  return marks;
}

function unpack(segment: Segment): Buffer {
  try {
    return unpackSegment(segment);
  } catch (cause) {
    throw isCofferError(cause) ? damaged(cause.message, cause) : cause;
  }
}

/** By hand: a list reads as many lines as there are files. */
function decodeMark(line: string): { file: string; mark: Mark } {
  const { file, generation, frames, link } = parse(line);
  if (!isText(file) || !isFileId(file)) throw wrong('file');
  if (!isText(generation) || !/^\d{1,20}$/.test(generation)) throw wrong('generation');
  const count = BigInt(generation);
  if (count >= 2n ** 64n) throw wrong('generation');
  if (!isInteger(frames) || frames <= 0) throw wrong('frames');
  // What is no digit ends it early. A regular expression takes as long as all the rest.
  const bytes = Buffer.from(isText(link) && link.length === 64 ? link : '', 'hex');
  if (bytes.length !== 32) throw wrong('link');
  return { file, mark: { generation: count, frames, link: bytes } };
}

function parse(line: string): Record<'file' | 'generation' | 'frames' | 'link', unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw damaged('a mark is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('form');
  return value as ReturnType<typeof parse>;
}

function wrong(what: string): CofferError {
  return damaged(`the ${what} of a mark is not what coffer writes`);
}

function damaged(what: string, cause?: unknown): CofferError {
  return new CofferError('UNAUTHENTIC', `file seen: ${what}`, { cause });
}
