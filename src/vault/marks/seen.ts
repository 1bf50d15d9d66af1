import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { firstLink } from '../../envelope/chain.ts';
import { encodeHeader, type Header, type Segment } from '../../envelope/format.ts';
import { sealFrame } from '../../envelope/seal.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { keepCopy } from '../../files/keep.ts';
import { FileLock } from '../../files/lock.ts';
import { isSystemError, reasonOf } from '../../files/reason.ts';
import { syncDirectory } from '../../files/remove.ts';
import { type FileState, isSameState, isSettled, stateOf } from '../../files/replace/cache.ts';
import { replaceFileSync } from '../../files/replace/replace.ts';
import { sweepTemps } from '../../files/replace/temporary.ts';
import type { VaultDirectory } from '../directory.ts';
import { isInteger } from '../fields.ts';
import { openExpected, openFirstSummary, openHead } from '../file/open.ts';
import type { RollbackMark, SealedFile } from '../file/sealed-file.ts';
import type { Unlocked } from '../keys/options.ts';
import { damaged, MarkLines, packMarks, SEEN_LIMIT } from './seen-lines.ts';

/*
 * `seen` holds the rollback marks: how far each sealed file had come when it was last seen. A mark
 * may be older than its file, never newer: it is written after the file is durable, or not at all.
 * So no honest file is ever behind its mark, whenever a process is killed.
 */

/** The keys that a vault's files may be sealed with, and the counter of its vault.json. */
type MarkKeys = Pick<Unlocked, 'key' | 'retiring' | 'counter'>;

/**
 * The content of `seen`; no marks if the file is missing (`header` is undefined then) or can't be
 * read (`error`).
 */
export interface RollbackMarks {
  readonly lines: MarkLines;
  /** The highest counter of vault.json that was seen. */
  readonly counter?: number | undefined;
  readonly header?: Header | undefined;
  readonly error?: CofferError | undefined;
}

/**
 * The rollback marks of a vault. Reading needs no lock; methods that write must be called under
 * `locks/vault`.
 */
export class Seen {
  readonly #place: VaultDirectory;
  #trouble: CofferError | undefined;
  #known: { state: FileState; keyIds: string; found: RollbackMarks } | undefined;

  constructor(place: VaultDirectory) {
    this.#place = place;
  }

  /**
   * Why the last attempt to write marks failed; undefined if it succeeded. A mark guards a save
   * that is durable already, so its failure must not make that save fail: the error is kept here
   * for the front end to report.
   */
  get trouble(): CofferError | undefined {
    return this.#trouble;
  }

  /**
   * The state of the file, if any later change to it is certain to change its state. Says nothing
   * about whether it opens.
   */
  get state(): FileState | undefined {
    const now = Date.now();
    const state = stateOf(this.#place.seen);
    return state && isSettled(state, now) ? state : undefined;
  }

  /**
   * Reads the marks if they may have changed since the last read; `whole` if all of them are
   * needed. Returns an error about the file instead of throwing it.
   */
  read(keys: MarkKeys, whole: boolean = false): RollbackMarks {
    const { state } = this;
    const keyIds = `${keys.key.id} ${keys.retiring?.id}`;
    const known = this.#known;
    if (state && known?.keyIds === keyIds && isSameState(state, known.state)) return known.found;
    const found = this.#open(keys, whole);
    this.#known = state && found.header ? { state, keyIds, found } : undefined;
    return found;
  }

  #open({ key, retiring }: MarkKeys, whole: boolean): RollbackMarks {
    try {
      const expected = { kind: 'seen', fileId: undefined, limit: SEEN_LIMIT } as const;
      const opened = openExpected(this.#place.seen, expected, key, retiring);
      if (opened.torn || opened.links.length !== 1) throw damaged('it has more than one frame');
      const counter = counterIn(opened.summary);
      return { header: opened.header, lines: new MarkLines(opened.segments, whole), counter };
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return { lines: NO_LINES, error: error.code === 'SESSION_NOT_FOUND' ? undefined : error };
    }
  }

  /**
   * Creates the file if it is missing. Called before a file is added, so that a vault with sealed
   * files but no `seen` must have lost it: a process killed between its first save and its first
   * mark leaves no such vault. Costs a flush only on creation.
   */
  ensure(keys: MarkKeys): void {
    if (!this.#place.hasSeen) this.record(keys, new Map());
  }

  /**
   * Records marks of durable files, merging with those that another process wrote meanwhile. Writes
   * only if something changes. Never throws a CofferError: see {@link trouble}.
   */
  record(keys: MarkKeys, marks: ReadonlyMap<string, RollbackMark>): void {
    this.#change(keys, marks);
  }

  /**
   * Records how far files that this process saved have come, as far as that is known. Never throws
   * a CofferError, like {@link record}.
   */
  mark(keys: MarkKeys, files: readonly (SealedFile | undefined)[]): void {
    const marks = files.flatMap((file): [string, RollbackMark][] => (file?.mark ? [[file.fileId, file.mark]] : []));
    if (marks.length > 0) this.record(keys, new Map(marks));
  }

  /**
   * Records the counter of a vault.json that was just written, if `seen` exists. Never throws a
   * CofferError, like {@link record}.
   */
  note(keys: MarkKeys): void {
    if (this.#place.hasSeen) this.#change(keys, new Map());
  }

  /**
   * Removes the marks of files that are deleted on purpose. Never throws a CofferError, like
   * {@link record}.
   */
  drop(keys: MarkKeys, fileIds: Iterable<string>): void {
    if (this.#place.hasSeen) this.#change(keys, new Map([...fileIds].map((fileId) => [fileId, undefined])));
  }

  #change(keys: MarkKeys, changes: ReadonlyMap<string, RollbackMark | undefined>): void {
    try {
      const before = this.#readOwn(keys);
      const segments = before.lines.changed(changes);
      const counter = Math.max(before.counter ?? 0, keys.counter ?? 0);
      if (segments || before.header?.keyId !== keys.key.id || counter !== (before.counter ?? 0)) {
        this.#write(keys, before.header, segments ?? packMarks(before.lines.marks), counter);
      }
      this.#trouble = undefined;
    } catch (error) {
      if (!isCofferError(error) && !isSystemError(error)) throw error;
      const code = isCofferError(error) ? error.code : 'NOT_SAVED';
      const reason = isCofferError(error) ? error.message : reasonOf(error);
      this.#trouble = new CofferError(code, 'the rollback marks could not be written', {
        reason,
        cause: error,
      });
    }
  }

  /**
   * Reads what is about to be overwritten. Copies a damaged file to quarantine first; throws for
   * one that can't be judged, such as one sealed with another key, so that it is left alone.
   */
  #readOwn(keys: MarkKeys): RollbackMarks {
    const found = this.read(keys);
    if (found.header) return found;
    if (found.error) {
      if (found.error.code !== 'UNAUTHENTIC') throw found.error;
      const note = `${found.error.message}\nthis is the file of marks against rollback as it was found; another was begun from the files as they were\n`;
      keepCopy(this.#place.seen, this.#place.quarantine, 'seen.damaged', note);
    }
    return { lines: new MarkLines(packMarks(this.#survey(keys))) };
  }

  /**
   * Builds marks from the files as they are, when there are no marks to start from. The holders of
   * sessions in use write those marks themselves. A process that died may have left a name or a
   * later frame that is not on the disk yet: so names are flushed, and only first frames count.
   */
  #survey({ key, retiring }: MarkKeys): Map<string, RollbackMark> {
    const marks = new Map<string, RollbackMark>();
    const fileIds = this.#place.fileIds();
    if (fileIds.length > 0) syncDirectory(this.#place.sessions);
    for (const fileId of fileIds) {
      if (FileLock.isHeld(join(this.#place.locks, fileId))) continue;
      try {
        const { header, links } = openHead(this.#place.path(fileId), fileId, key, retiring);
        const [link] = links;
        if (link) marks.set(fileId, { generation: header.generation, frames: 1, link });
      } catch (error) {
        // An unreadable file is listed with its reason, and gets no mark.
        if (!isCofferError(error)) throw error;
      }
    }
    return marks;
  }

  /**
   * Synchronous, so that nothing in this process comes between read and write, and final saves can
   * use it.
   */
  #write({ key }: MarkKeys, before: Header | undefined, segments: readonly Segment[], counter: number): void {
    sweepTemps(this.#place.root, (name) => name === 'seen');
    const fileId = before?.fileId ?? randomBytes(16).toString('hex');
    const header = encodeHeader({ kind: 'seen', keyId: key.id, fileId, generation: (before?.generation ?? 0n) + 1n });
    if (segments.reduce((sum, { plainLength }) => sum + plainLength, 0) > SEEN_LIMIT) {
      throw new CofferError('NOT_SAVED', 'there are too many files for their rollback marks');
    }
    const content = { summary: Buffer.from(counter === 0 ? '{}' : JSON.stringify({ record: counter })), segments };
    replaceFileSync(this.#place.seen, [header, sealFrame(key, firstLink(header), content).bytes]);
  }
}

/**
 * Reads only the counter of vault.json in `seen`, from its first chunk; undefined if there is none,
 * or if it can't be opened with these keys.
 */
export function seenCounter({ seen }: VaultDirectory, { key, retiring }: MarkKeys): number | undefined {
  try {
    return counterIn(openFirstSummary(seen, { kind: 'seen', fileId: undefined }, key, retiring));
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return undefined; // the next list reports the reason
  }
}

function counterIn(summary: Buffer): number | undefined {
  try {
    const { record } = JSON.parse(summary.toString()) as { record?: unknown };
    return isInteger(record) && record > 0 ? record : undefined;
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
    return undefined; // authenticated, so not damaged: the marks still count
  }
}

const NO_LINES = new MarkLines([]);
