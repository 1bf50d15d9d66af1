import type { Stats } from 'node:fs';
import { type FileState, isSameState, isSettled } from '../../files/replace/cache.ts';
import type { VaultDirectory } from '../directory.ts';
import { type Head, openHead } from '../file/open.ts';
import type { RollbackMark } from '../file/sealed-file.ts';
import type { Unlocked } from '../keys/options.ts';
import { type Rollback, rollbackOf } from '../marks/rollback.ts';
import type { Known, ListedHead, Rows } from './columns.ts';
import { decodeSummary } from './summary.ts';

/** Results that a look starts from. */
export interface Before {
  /** The rows of the list cache, which any process may have written. */
  readonly rows: Rows;
  /** Results of this process's last look. */
  readonly known: ReadonlyMap<string, Known>;
  /**
   * The rollback marks; undefined if all rows were compared with the current marks and none was
   * rolled back.
   */
  readonly marks: ReadonlyMap<string, RollbackMark> | undefined;
  /** Reads the marks in that case, when a file doesn't match its row. */
  readonly readMarks: () => ReadonlyMap<string, RollbackMark>;
}

/** The result for one file. */
export interface ListedFile {
  readonly head: ListedHead;
  /** The file's state when it was examined. */
  readonly state: FileState;
  readonly rollback: Rollback | undefined;
}

/** One pass over the files of a vault: opens those that changed since they were last known. */
export class Look {
  readonly #place: VaultDirectory;
  readonly #keys: Unlocked;
  readonly #before: Before;
  /** Taken before any file is examined: whatever changes meanwhile is later, and so not settled. */
  readonly #now: number = Date.now();
  /** Files that could be opened. */
  readonly found: Map<string, Known> = new Map();
  readonly #rolledBack = new Set<string>();
  #marks: ReadonlyMap<string, RollbackMark> | undefined;
  /** Number of settled files without an up-to-date row. */
  missing = 0;
  /** Number of files with a row, of whatever state. */
  inRows = 0;

  constructor(place: VaultDirectory, keys: Unlocked, before: Before) {
    this.#place = place;
    this.#keys = keys;
    this.#before = before;
    this.#marks = before.marks;
  }

  /** The rollback marks, read on demand. */
  get marks(): ReadonlyMap<string, RollbackMark> {
    this.#marks ??= this.#before.readMarks();
    return this.#marks;
  }

  /**
   * Examines a file whose state is `stats`. Throws as {@link openHead}, and `UNAUTHENTIC` if its
   * summary is invalid.
   */
  into(fileId: string, stats: Stats): ListedFile {
    const { rows, known } = this.#before;
    if (rows.has(fileId)) this.inRows++;
    const isRow = rows.isOf(fileId, stats);
    const before = known.get(fileId);
    const ours = before?.settled && isSameState(before.state, stats) ? before : undefined;
    const same = ours ?? (isRow ? rows.get(fileId) : undefined);
    if (same && isRow && !this.#before.marks) return this.#keep(fileId, same, undefined);
    // Only marks read before the file was examined are certain not to be of a later save.
    const isMarked = this.#marks !== undefined;
    const mark = this.marks.get(fileId);
    const now = same && isMarked && isComparable(mark, same.head) ? same : this.#open(fileId, stats);
    const rollback = rollbackOf(mark, now.head);
    if (!isRow && now.settled && !rollback) this.missing++;
    return this.#keep(fileId, now, rollback);
  }

  /**
   * Returns what is worth writing to the cache; for files with many frames, only the links that a
   * mark is likely to need. `isJudged`: every marked file is included, and matches its mark.
   */
  kept(): { known: Map<string, Known>; isJudged: boolean } {
    const known = new Map<string, Known>();
    for (const [fileId, found] of this.found) {
      // A larger generation does not fit a column of numbers, and no file ever comes near it.
      if (!found.settled || found.head.header.generation > Number.MAX_SAFE_INTEGER) continue;
      if (this.#rolledBack.has(fileId)) continue;
      known.set(fileId, { ...found, head: sparse(found.head, this.marks.get(fileId)) });
    }
    return { known, isJudged: this.marks.keys().every((fileId) => known.has(fileId)) };
  }

  #keep(fileId: string, known: Known, rollback: Rollback | undefined): ListedFile {
    this.found.set(fileId, known);
    if (rollback) this.#rolledBack.add(fileId);
    return { head: known.head, state: known.state, rollback };
  }

  #open(fileId: string, stats: Stats): Known {
    const { ino, size, mtimeMs, ctimeMs } = stats;
    const state = { ino, size, mtimeMs, ctimeMs };
    const before = this.#before.known.get(fileId) ?? this.#before.rows.get(fileId);
    const grown = before?.state.ino === ino && before.state.size < size ? before.head : undefined;
    const mark = this.marks.get(fileId);
    let head = this.#openHead(fileId, grown);
    if (!isComparable(mark, head)) head = this.#openHead(fileId);
    const { header, torn, links, end } = head;
    const listed = { header, summary: decodeSummary(head.summary), torn, links, end };
    return { state, head: listed, settled: isSettled(state, this.#now) };
  }

  #openHead(fileId: string, grown?: ListedHead): Head {
    const { key, retiring } = this.#keys;
    return openHead(this.#place.path(fileId), fileId, key, retiring, grown);
  }
}

/** Tells whether the link that a mark must be compared with is known. */
function isComparable(
  mark: RollbackMark | undefined,
  { header, links }: Pick<ListedHead, 'header' | 'links'>,
): boolean {
  if (!mark || mark.generation !== header.generation || mark.frames > links.length) return true;
  return links[mark.frames - 1] !== undefined;
}

/** Drops all links but those of the first frame, the last one and the marked one. */
function sparse(head: ListedHead, mark: RollbackMark | undefined): ListedHead {
  const { length } = head.links;
  if (length <= 3) return head;
  const links = new Array<Buffer | undefined>(length).fill(undefined);
  for (const frame of [0, length - 1, (mark?.frames ?? 1) - 1]) if (frame < length) links[frame] = head.links[frame];
  const { header, summary, torn, end } = head;
  return { header, summary, torn, links, end };
}
