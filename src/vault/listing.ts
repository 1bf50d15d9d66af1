import type { Stats } from 'node:fs';
import { CofferError } from '../errors.ts';
import { statsOf } from '../files/reader.ts';
import type { VaultDirectory } from './directory.ts';
import type { Unlocked } from './keys.ts';
import { type Holder, heldSessions, leasedNames } from './lease.ts';
import { type Head, openHead } from './open.ts';
import { type Rollback, rollbackOf } from './rollback.ts';
import type { Seen } from './seen.ts';

/** A file changed less than this ago may change again under the same stamp: clocks of file systems tick that slowly. */
const SETTLED_MS = 100;

/** One sealed file as a list shows it: its head, with what is there instead of what was seen, or why it can't be read. */
export type Listed = { readonly fileId: string; readonly changed: number; readonly held: Holder | undefined } & (
  | { readonly head: Head; readonly rollback?: Rollback | undefined }
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

/** The heads of a vault's sealed files; those that did not change since they were read are not read again. */
export class Listing {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #heads = new Map<string, { stamp: string; head: Head }>();

  constructor(place: VaultDirectory, seen: Seen) {
    this.#place = place;
    this.#seen = seen;
  }

  /** Lists the sealed files, unreadable ones with their reason, those that are not as they were seen with what was. */
  async list(keys: Unlocked): Promise<{ listed: Listed[]; seen: SeenReport }> {
    const held = await this.#held();
    // Before the files: a mark that is read is of a save that is made, whatever is saved from here on.
    const { marks } = this.#seen.read(keys);
    const listed: Listed[] = [];
    for (const fileId of this.#place.fileIds()) {
      const stats = this.#stats(fileId);
      if (!stats) continue;
      const entry = this.#listOne(keys, fileId, stats, held.get(fileId));
      const rollback = 'head' in entry ? rollbackOf(marks.get(fileId), entry.head) : undefined;
      listed.push(rollback ? { ...entry, rollback } : entry);
    }
    const gone = [...marks.keys()].filter((fileId) => !this.#stats(fileId));
    return { listed, seen: this.#report(keys, listed.length > 0, gone) };
  }

  /** The heads of the files changed within the last 27 hours: whatever time zone, an id of this minute is among them. */
  *siblings(keys: Unlocked): Generator<Head> {
    const since = Date.now() - 27 * 3_600_000;
    for (const fileId of this.#place.fileIds()) {
      const stats = this.#stats(fileId);
      if (!stats || stats.mtimeMs < since) continue;
      const listed = this.#listOne(keys, fileId, stats);
      if ('head' in listed) yield listed.head;
    }
  }

  /** Read once more, behind the files: where coffer removes a file, its mark goes first; where it adds one, `seen` is there first. */
  #report(keys: Unlocked, isUsed: boolean, gone: readonly string[]): SeenReport {
    const { header, error, marks } = this.#seen.read(keys);
    const removed = gone.filter((fileId) => marks.has(fileId));
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

  #listOne(keys: Unlocked, fileId: string, stats: Stats, held?: Holder): Listed {
    const entry = { fileId, changed: stats.mtimeMs, held };
    try {
      return { ...entry, head: this.#head(keys, fileId, stats) };
    } catch (error) {
      if (!(error instanceof CofferError)) throw error;
      return { ...entry, error };
    }
  }

  #head({ key, retiring }: Unlocked, fileId: string, stats: Stats): Head {
    const stamp = `${stats.ino} ${stats.size} ${stats.mtimeMs}`;
    const known = this.#heads.get(fileId);
    if (known?.stamp === stamp) return known.head;
    const head = openHead(this.#place.path(fileId), fileId, key, retiring);
    if (Date.now() - stats.mtimeMs > SETTLED_MS) this.#heads.set(fileId, { stamp, head });
    return head;
  }
}
