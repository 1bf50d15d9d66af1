import type { Stats } from 'node:fs';
import { type FileState, isSameState, isSettled } from '../../files/cache.ts';
import type { VaultDirectory } from '../directory.ts';
import { type Head, openHead } from '../file/open.ts';
import type { Mark } from '../file/sealed-file.ts';
import type { Unlocked } from '../keys/options.ts';
import { type Rollback, rollbackOf } from '../marks/rollback.ts';
import type { Known, ListedHead, Rows } from './columns.ts';
import { decodeSummary } from './summary.ts';

/** What a look at the files begins with. */
export interface Before {
  /** What some process wrote down. */
  readonly rows: Rows;
  /** What this process found last. */
  readonly known: ReadonlyMap<string, Known>;
  /** The marks against rollback; undefined where they are those that all rows were compared with, and each was as it should be. */
  readonly marks: ReadonlyMap<string, Mark> | undefined;
  /** Reads them then all the same, for a file that is not as its row has it. */
  readonly readMarks: () => ReadonlyMap<string, Mark>;
}

/** What was found of a file. */
export interface Found {
  readonly head: ListedHead;
  /** The file as it was looked at. */
  readonly state: FileState;
  readonly rollback: Rollback | undefined;
}

/** One look at the files of a vault: opens those that are not as they were known before. */
export class Look {
  readonly #place: VaultDirectory;
  readonly #keys: Unlocked;
  readonly #before: Before;
  /** Taken before any file is looked at: what changes meanwhile is later, and so not settled. */
  readonly #now: number = Date.now();
  /** The files that could be opened. */
  readonly found: Map<string, Known> = new Map();
  readonly #rolledBack = new Set<string>();
  #marks: ReadonlyMap<string, Mark> | undefined;
  /** How many of the settled ones are in no row as they are. */
  missing = 0;
  /** How many of the files have a row, of whatever state. */
  inRows = 0;

  constructor(place: VaultDirectory, keys: Unlocked, before: Before) {
    this.#place = place;
    this.#keys = keys;
    this.#before = before;
    this.#marks = before.marks;
  }

  get marks(): ReadonlyMap<string, Mark> {
    this.#marks ??= this.#before.readMarks();
    return this.#marks;
  }

  /** Looks into a file, whose state is `stats`. Throws as {@link openHead}, and `UNAUTHENTIC` where its summary is none. */
  into(fileId: string, stats: Stats): Found {
    const { rows, known } = this.#before;
    if (rows.has(fileId)) this.inRows++;
    const isRow = rows.isOf(fileId, stats);
    const before = known.get(fileId);
    const ours = before?.settled && isSameState(before.state, stats) ? before : undefined;
    const same = ours ?? (isRow ? rows.get(fileId) : undefined);
    if (same && isRow && !this.#before.marks) return this.#keep(fileId, same, undefined);
    // Only marks that were read before the file was looked at are of nothing that came after.
    const isMarked = this.#marks !== undefined;
    const mark = this.marks.get(fileId);
    const now = same && isMarked && isComparable(mark, same.head) ? same : this.#open(fileId, stats);
    const rollback = rollbackOf(mark, now.head);
    if (!isRow && now.settled && !rollback) this.missing++;
    return this.#keep(fileId, now, rollback);
  }

  /**
   * What is worth writing down: of files with many frames no more links than a mark is likely to ask for. `isJudged`: every marked file
   * is among them, and is as it should be.
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

  #keep(fileId: string, known: Known, rollback: Rollback | undefined): Found {
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

/** Tells whether the link is known that a mark has to be compared with. */
function isComparable(mark: Mark | undefined, { header, links }: Pick<ListedHead, 'header' | 'links'>): boolean {
  if (!mark || mark.generation !== header.generation || mark.frames > links.length) return true;
  return links[mark.frames - 1] !== undefined;
}

/** With the links of the first frame, the last one and the marked one alone. */
function sparse(head: ListedHead, mark: Mark | undefined): ListedHead {
  const { length } = head.links;
  if (length <= 3) return head;
  const links = new Array<Buffer | undefined>(length).fill(undefined);
  for (const frame of [0, length - 1, (mark?.frames ?? 1) - 1]) if (frame < length) links[frame] = head.links[frame];
  const { header, summary, torn, end } = head;
  return { header, summary, torn, links, end };
}
