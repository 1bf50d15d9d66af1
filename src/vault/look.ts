import type { Stats } from 'node:fs';
import { isSameState, isSettled } from '../files/cache.ts';
import type { VaultDirectory } from './directory.ts';
import type { Unlocked } from './keys.ts';
import type { Known, ListedHead, Rows } from './list-columns.ts';
import { type Head, openHead } from './open.ts';
import type { Mark } from './sealed-file.ts';
import { decodeSummary } from './summary.ts';

/** What a look at the files begins with. */
export interface Before {
  readonly marks: ReadonlyMap<string, Mark>;
  /** What this process found last. */
  readonly known: ReadonlyMap<string, Known>;
  /** What some process wrote down. */
  readonly rows: Rows;
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
  /** How many of the settled ones are in no row as they are. */
  missing = 0;
  /** How many of the files have a row, of whatever state. */
  inRows = 0;

  constructor(place: VaultDirectory, keys: Unlocked, before: Before) {
    this.#place = place;
    this.#keys = keys;
    this.#before = before;
  }

  /** The head of a file that was just looked at. Throws as {@link openHead}, and `UNAUTHENTIC` for a summary that is none. */
  head(fileId: string, stats: Stats): ListedHead {
    const { rows } = this.#before;
    if (rows.has(fileId)) this.inRows++;
    const known = this.#known(fileId, stats) ?? this.#open(fileId, stats);
    this.found.set(fileId, known);
    if (known.settled && !rows.isOf(fileId, known.state)) this.missing++;
    return known.head;
  }

  /** What is worth writing down: of files with many frames no more links than a mark is likely to ask for. */
  kept(): Map<string, Known> {
    const kept = new Map<string, Known>();
    for (const [fileId, known] of this.found) {
      // A larger generation does not fit a column of numbers, and no file ever comes near it.
      if (!known.settled || known.head.header.generation > Number.MAX_SAFE_INTEGER) continue;
      kept.set(fileId, { ...known, head: sparse(known.head, this.#before.marks.get(fileId)) });
    }
    return kept;
  }

  #known(fileId: string, stats: Stats): Known | undefined {
    const { known, rows, marks } = this.#before;
    const mark = marks.get(fileId);
    const ours = known.get(fileId);
    if (ours?.settled && isSameState(ours.state, stats) && isComparable(mark, ours.head)) return ours;
    if (!rows.isOf(fileId, stats)) return undefined;
    const row = rows.get(fileId);
    return row && isComparable(mark, row.head) ? row : undefined;
  }

  #open(fileId: string, stats: Stats): Known {
    const { ino, size, mtimeMs, ctimeMs } = stats;
    const state = { ino, size, mtimeMs, ctimeMs };
    const before = this.#before.known.get(fileId) ?? this.#before.rows.get(fileId);
    const grown = before?.state.ino === ino && before.state.size < size ? before.head : undefined;
    const mark = this.#before.marks.get(fileId);
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
  return { ...head, links };
}
