import type { Stats } from 'node:fs';
import { CofferError, type Holder } from '../../errors.ts';
import { statsOf } from '../../files/reader.ts';
import { type FileState, isSameState } from '../../files/replace/cache.ts';
import type { VaultDirectory } from '../directory.ts';
import { openHead } from '../file/open.ts';
import type { RollbackMark } from '../file/sealed-file.ts';
import type { Unlocked } from '../keys/options.ts';
import { heldSessions, leasedNames } from '../lease.ts';
import type { Rollback } from '../marks/rollback.ts';
import type { Seen } from '../marks/seen.ts';
import { ListIndex, NOTHING_KEPT } from './cache.ts';
import type { Known, ListedHead } from './columns.ts';
import { Look } from './look.ts';
import { decodeSummary, type Summary } from './summary.ts';

/**
 * One sealed file in a list: its head and its rollback, if any, or the reason why it can't be read.
 */
export type Listed = { readonly fileId: string; readonly changed: number; readonly held: Holder | undefined } & (
  | { readonly head: ListedHead; readonly state: FileState; readonly rollback?: Rollback | undefined }
  | { readonly error: CofferError }
);

/** The state of the rollback marks, as found by a list. */
export interface SeenReport {
  /**
   * `none`: there is nothing to mark yet; `missing`: there are sealed files, but no `seen`;
   * `unreadable`: `error` says why.
   */
  readonly state: 'good' | 'none' | 'missing' | 'unreadable';
  readonly error?: CofferError | undefined;
  /** Ids of files that something other than coffer removed. */
  readonly removed: readonly string[];
}

/**
 * If more files than this have no known session id, reading the index is faster than examining them
 * one by one.
 */
const MANY = 100;

/**
 * Lists the heads of a vault's sealed files; those unchanged since they were read are not read
 * again.
 */
export class Listing {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #index: ListIndex;
  #known: ReadonlyMap<string, Known> = new Map();
  /** Session ids by file id, which never change; '' for files too old to matter. */
  readonly #ids = new Map<string, string>();

  constructor(place: VaultDirectory, seen: Seen) {
    this.#place = place;
    this.#seen = seen;
    this.#index = new ListIndex(place);
  }

  /**
   * Lists the sealed files, unreadable ones with the reason, and those that don't match their
   * rollback mark with what was last seen. With `afresh`, ignores all earlier results, and writes
   * nothing.
   */
  async list(keys: Unlocked, afresh = false): Promise<{ listed: Listed[]; seen: SeenReport }> {
    const held = await this.#held();
    const kept = afresh ? NOTHING_KEPT : this.#index.read(keys);
    const seen = this.#seen.state;
    const isJudged = seen !== undefined && kept.seen !== undefined && isSameState(seen, kept.seen);
    // Read the marks before the files: a mark is only written after its save, so a later save can't
    // make a file look rolled back.
    const found = isJudged ? undefined : this.#seen.read(keys, true);
    const look = new Look(this.#place, keys, {
      rows: kept.rows,
      known: afresh ? new Map() : this.#known,
      marks: found?.lines.marks,
      readMarks: () => this.#seen.read(keys, true).lines.marks,
    });
    const fileIds = this.#place.fileIds();
    const listed: Listed[] = [];
    for (const fileId of fileIds) {
      const stats = this.#stats(fileId);
      const one = stats && listOne(look, fileId, stats, held.get(fileId));
      // A file that was removed in between is not an unreadable one.
      if (one && (!('error' in one) || this.#stats(fileId))) listed.push(one);
    }
    this.#known = look.found;
    if (!afresh) this.#index.update(keys, look, kept.rows, isJudged || found?.header ? seen : undefined);
    if (isJudged && look.inRows === kept.rows.size && this.#isStill(seen)) {
      return { listed, seen: { state: 'good', removed: [] } };
    }
    return { listed, seen: this.#report(keys, listed.length > 0, this.#gone(look.marks, fileIds)) };
  }

  /**
   * Yields the ids of the sessions in files changed within the last 27 hours, and maybe of others:
   * whatever the time zone, any id of this minute is among them. The first save of a file fixes its
   * id, so a known file need not be examined.
   */
  *siblings(keys: Unlocked): Generator<Pick<Summary, 'id'>> {
    const since = Date.now() - 27 * 3_600_000;
    const fileIds = this.#place.fileIds();
    const unknown = fileIds.filter((fileId) => !this.#ids.has(fileId));
    if (unknown.length > MANY) for (const [fileId, id] of this.#index.readIds(keys)) this.#ids.set(fileId, id);
    for (const fileId of unknown) if (!this.#ids.has(fileId)) this.#learnId(keys, fileId, since);
    for (const fileId of fileIds) {
      const id = this.#ids.get(fileId);
      if (id) yield { id };
    }
  }

  #learnId({ key, retiring }: Unlocked, fileId: string, since: number): void {
    const stats = this.#stats(fileId);
    if (!stats) return;
    try {
      const isOld = stats.mtimeMs < since;
      const id = isOld ? '' : decodeSummary(openHead(this.#place.path(fileId), fileId, key, retiring).summary).id;
      this.#ids.set(fileId, id);
    } catch (error) {
      // An unreadable file has no id, and is listed with its reason.
      if (!(error instanceof CofferError)) throw error;
    }
  }

  #isStill(seen: FileState): boolean {
    const now = this.#seen.state;
    return now !== undefined && isSameState(now, seen);
  }

  /**
   * Returns the marks without a file. A directory listing may miss a file that is being replaced; a
   * stat does not.
   */
  #gone(marks: ReadonlyMap<string, RollbackMark>, fileIds: readonly string[]): string[] {
    const names = new Set(fileIds);
    return [...marks.keys()].filter((fileId) => !names.has(fileId) && !this.#stats(fileId));
  }

  /**
   * Reads the marks again, after the files: when coffer deletes a file, its mark goes first; when
   * it adds one, `seen` is created first.
   */
  #report(keys: Unlocked, isUsed: boolean, gone: readonly string[]): SeenReport {
    const { header, error, lines } = this.#seen.read(keys);
    const removed = gone.length === 0 ? [] : gone.filter((fileId) => lines.marks.has(fileId));
    if (error) return { state: 'unreadable', error, removed };
    if (header) return { state: 'good', removed };
    return { state: isUsed ? 'missing' : 'none', removed };
  }

  async #held(): Promise<Map<string, Holder>> {
    if (leasedNames(this.#place.locks).length === 0) return new Map();
    return this.#place.locked(async () => heldSessions(this.#place.locks));
  }

  /** Undefined if the file was removed after it was listed. */
  #stats(fileId: string): Stats | undefined {
    return statsOf(this.#place.path(fileId));
  }
}

function listOne(look: Look, fileId: string, stats: Stats, held: Holder | undefined): Listed {
  const { mtimeMs: changed } = stats;
  try {
    return { fileId, changed, held, ...look.into(fileId, stats) };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { fileId, changed, held, error };
  }
}
