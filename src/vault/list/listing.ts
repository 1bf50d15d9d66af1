import type { Stats } from 'node:fs';
import { CofferError, type Holder } from '../../errors.ts';
import { type FileState, isSameState } from '../../files/cache.ts';
import { statsOf } from '../../files/reader.ts';
import type { VaultDirectory } from '../directory.ts';
import { openHead } from '../file/open.ts';
import type { Mark } from '../file/sealed-file.ts';
import type { Unlocked } from '../keys/options.ts';
import { heldSessions, leasedNames } from '../lease.ts';
import type { Rollback } from '../marks/rollback.ts';
import type { Seen } from '../marks/seen.ts';
import { ListIndex, NOTHING_KEPT } from './cache.ts';
import type { Known, ListedHead } from './columns.ts';
import { Look } from './look.ts';
import { decodeSummary, type Summary } from './summary.ts';

/** One sealed file as a list shows it: its head, with what is there instead of what was seen, or why it can't be read. */
export type Listed = { readonly fileId: string; readonly changed: number; readonly held: Holder | undefined } & (
  | { readonly head: ListedHead; readonly state: FileState; readonly rollback?: Rollback | undefined }
  | { readonly error: CofferError }
);

/** What a list found of the marks against rollback. */
export interface SeenReport {
  /** `none`: there is nothing to mark yet; `missing`: sealed files are there, and it is not; `unreadable`: `error` says why. */
  readonly state: 'good' | 'none' | 'missing' | 'unreadable';
  readonly error?: CofferError | undefined;
  /** Ids of the files that something other than coffer removed. */
  readonly removed: readonly string[];
}

/** From so many files on whose sessions' ids are not known, reading the index costs less than looking at them. */
const MANY = 100;

/** The heads of a vault's sealed files; those that did not change since they were read are not read again. */
export class Listing {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #index: ListIndex;
  #known: ReadonlyMap<string, Known> = new Map();
  /** The ids of the sessions in files, which stay as they are for good; '' of those that are too old to matter. */
  readonly #ids = new Map<string, string>();

  constructor(place: VaultDirectory, seen: Seen) {
    this.#place = place;
    this.#seen = seen;
    this.#index = new ListIndex(place);
  }

  /**
   * Lists the sealed files, unreadable ones with their reason, those that are not as they were seen with what was. `afresh`: nothing
   * counts that was found before, and nothing is written.
   */
  async list(keys: Unlocked, afresh = false): Promise<{ listed: Listed[]; seen: SeenReport }> {
    const held = await this.#held();
    const kept = afresh ? NOTHING_KEPT : this.#index.read(keys);
    const seen = this.#seen.state;
    const isJudged = seen !== undefined && kept.seen !== undefined && isSameState(seen, kept.seen);
    // Before the files: a mark that is read is of a save that is made, whatever is saved from here on.
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
      // A file that went away in between is not one that can't be read.
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
   * The ids of the sessions in the files changed within the last 27 hours, and of others: whatever time zone, an id of this minute is
   * among them. An id is fixed at the first save of its file, so what is known of a file needs no look at it.
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
      if (!(error instanceof CofferError)) throw error; // one that can't be read has no id, and is listed with its reason
    }
  }

  #isStill(seen: FileState): boolean {
    const now = this.#seen.state;
    return now !== undefined && isSameState(now, seen);
  }

  /** The marks without a file. A listing of names may miss one that is replaced meanwhile; a look at it does not. */
  #gone(marks: ReadonlyMap<string, Mark>, fileIds: readonly string[]): string[] {
    const names = new Set(fileIds);
    return [...marks.keys()].filter((fileId) => !names.has(fileId) && !this.#stats(fileId));
  }

  /** Read once more, behind the files: where coffer removes a file, its mark goes first; where it adds one, `seen` is there first. */
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

  /** Undefined where the file went away since it was listed. */
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
