import type { Segment } from '../../envelope/format.ts';
import { packSegment, unpackSegment } from '../../envelope/segment.ts';
import type { FileState } from '../../files/replace/cache.ts';
import type { Torn, Walked } from '../file/open.ts';
import type { Summary } from './summary.ts';

/*
 * The rows of the list cache, stored as one column for each field: parsing ten thousand objects
 * takes three times as long. Values that many rows share are stored once. A block of rows is three
 * segments: the ids, which suffice to choose a new one; the other columns; and the links.
 */

/**
 * The part of a sealed file that a list needs: its last frame's summary, and how far its frames go.
 */
export interface ListedHead extends Walked {
  readonly summary: Summary;
  readonly torn: Torn | undefined;
}

/** A file as it was when its head was opened. */
export interface Known {
  readonly state: FileState;
  readonly head: ListedHead;
  /** Whether any later change to the file is certain to change its state. */
  readonly settled: boolean;
}

/** Maximum number of rows in a block. */
const BLOCK = 8192;
/** Number of segments in a block. */
const PARTS = 3;
/** Bytes of a link. */
const LINK = 32;

/**
 * Encodes rows of settled files as segments. Throws RangeError if they take more than `limit`
 * bytes, unpacked.
 */
export function encodeRows(known: ReadonlyMap<string, Known>, limit: number): Segment[] {
  const rows = [...known];
  const segments: Segment[] = [];
  let total = 0;
  for (let start = 0; start < rows.length; start += BLOCK) {
    for (const bytes of encodeBlock(rows.slice(start, start + BLOCK))) {
      total += bytes.length;
      if (total > limit) throw new RangeError(`the rows of the list take more than ${limit} bytes`);
      segments.push(packSegment(bytes));
    }
  }
  return segments;
}

/** Reads only the session id of each file, by file id. Throws as {@link Rows}. */
export function decodeIds(segments: readonly Segment[]): Map<string, string> {
  const all = new Map<string, string>();
  for (let at = 0; at < segments.length; at += PARTS) {
    const { fileIds, ids } = idsOf(segments[at]);
    for (const [row, fileId] of fileIds.entries()) all.set(fileId, ids[row] ?? '');
  }
  return all;
}

/** Decoded rows, each built on demand. */
export class Rows {
  readonly #blocks: Block[] = [];
  readonly #places = new Map<string, number>();

  /**
   * Throws `UNAUTHENTIC`, SyntaxError or TypeError if the segments don't come from
   * {@link encodeRows}.
   */
  constructor(segments: readonly Segment[] = []) {
    for (let at = 0; at < segments.length; at += PARTS) {
      const first = this.#blocks.length * BLOCK;
      const block = decodeBlock(segments.slice(at, at + PARTS));
      this.#blocks.push(block);
      for (const [row, fileId] of block.fileIds.entries()) this.#places.set(fileId, first + row);
    }
  }

  /** Number of rows. */
  get size(): number {
    return this.#places.size;
  }

  /** Returns the file ids of all rows. */
  fileIds(): Iterable<string> {
    return this.#places.keys();
  }

  /** Tells whether a file has a row, of whatever state. */
  has(fileId: string): boolean {
    return this.#places.has(fileId);
  }

  /** Tells whether a file has a row for exactly this state. */
  isOf(fileId: string, { ino, size, mtimeMs, ctimeMs }: FileState): boolean {
    const place = this.#places.get(fileId) ?? -1;
    const block = this.#blocks[Math.floor(place / BLOCK)];
    const row = place % BLOCK;
    if (block === undefined || block.ino[row] !== ino || block.size[row] !== size) return false;
    return block.mtimeMs[row] === mtimeMs && block.ctimeMs[row] === ctimeMs;
  }

  /** Returns the row of a file. */
  get(fileId: string): Known | undefined {
    const place = this.#places.get(fileId) ?? -1;
    const block = this.#blocks[Math.floor(place / BLOCK)];
    const row = place % BLOCK;
    return block && { state: stateOf(block, row), head: new RowHead(block, row), settled: true };
  }
}

/** Fields whose values repeat in many rows: each distinct value is in `shared` once. */
const SHARED = [
  ...(['kind', 'directory', 'branch', 'worktree', 'project', 'model'] as const),
  ...(['pinned', 'archived', 'tags', 'status', 'parent'] as const),
] as const;
/** Fields stored in every row. A missing value is null; no field here uses null otherwise. */
const OWN = [
  ...(['uuid', 'name', 'title', 'begun', 'updated', 'messages', 'tasks', 'toolCalls'] as const),
  ...(['inputTokens', 'outputTokens', 'cost', 'firstEvent', 'lastEvent'] as const),
] as const;
/** Columns about the file rather than its session. */
const FILE = ['ino', 'size', 'mtimeMs', 'ctimeMs', 'generation', 'end', 'frames'] as const;

/** Fields that few rows have. */
interface Rare {
  readonly torn?: Torn | undefined;
  /** Frames whose links are known, unless it is the only frame. */
  readonly links?: readonly number[] | undefined;
  /** Fields of the summary that a newer version wrote. */
  readonly more?: object | undefined;
}

type Column<T = unknown> = readonly T[];

interface Columns extends Record<(typeof FILE)[number], Column<number>> {
  /**
   * Values that the columns of {@link SHARED} refer to by index; the first means that there is
   * none.
   */
  readonly shared: Column;
  readonly at: Readonly<Record<(typeof SHARED)[number], Column<number>>>;
  readonly own: Readonly<Record<(typeof OWN)[number], Column>>;
  /** By row number. */
  readonly rare: Readonly<Record<string, Rare>>;
}

interface Block extends Columns {
  readonly fileIds: Column<string>;
  readonly ids: Column<string>;
  readonly links: Buffer;
  /** Index of each row's first link, in links. */
  readonly starts: Uint32Array;
}

function encodeBlock(rows: readonly (readonly [string, Known])[]): Buffer[] {
  const summaries = rows.map(([, { head }]) => head.summary);
  const pool = new Pool();
  const rare: Record<number, Rare> = {};
  const links: Buffer[] = [];
  for (const [row, [, { head }]] of rows.entries()) {
    const known = [...head.links.keys()].filter((frame) => head.links[frame] !== undefined);
    for (const frame of known) links.push(head.links[frame] as Buffer);
    const isUsual = known.length === 1 && head.links.length === 1;
    const found: Rare = { torn: head.torn, links: isUsual ? undefined : known, more: unknownOf(head.summary) };
    if (found.torn ?? found.links ?? found.more) rare[row] = found;
  }
  const file = (of: (known: Known) => number): number[] => rows.map(([, known]) => of(known));
  const columns: Columns = {
    ino: file(({ state }) => state.ino),
    size: file(({ state }) => state.size),
    mtimeMs: file(({ state }) => state.mtimeMs),
    ctimeMs: file(({ state }) => state.ctimeMs),
    generation: file(({ head }) => Number(head.header.generation)),
    end: file(({ head }) => head.end),
    frames: file(({ head }) => head.links.length),
    at: columnsOf(SHARED, (name) => summaries.map((summary) => pool.place(summary[name]))),
    own: columnsOf(OWN, (name) => summaries.map((summary) => summary[name] ?? null)),
    shared: pool.values,
    rare,
  };
  const ids = { fileIds: rows.map(([fileId]) => fileId), ids: summaries.map(({ id }) => id) };
  return [Buffer.from(JSON.stringify(ids)), Buffer.from(JSON.stringify(columns)), Buffer.concat(links)];
}

function columnsOf<Name extends string, T>(names: readonly Name[], of: (name: Name) => T): Record<Name, T> {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<Name, T>;
}

/** Distinct values. */
class Pool {
  readonly values: unknown[] = [null];
  readonly #places = new Map<string, number>();

  place(value: unknown): number {
    if (value === undefined) return 0;
    const json = JSON.stringify(value);
    const known = this.#places.get(json);
    if (known !== undefined) return known;
    this.#places.set(json, this.values.length);
    return this.values.push(value) - 1;
  }
}

/** Returns the fields of a summary that have no column. */
function unknownOf(summary: Summary): object | undefined {
  const more = Object.entries(summary).filter(([name]) => !KNOWN.has(name));
  return more.length === 0 ? undefined : Object.fromEntries(more);
}

const KNOWN: ReadonlySet<string> = new Set(['id', ...SHARED, ...OWN]);

function decodeBlock([first, second, third]: readonly Segment[]): Block {
  const { fileIds, ids } = idsOf(first);
  const columns = parse(second) as Columns;
  const all = [ids, ...FILE.map((name) => columns[name])];
  all.push(...SHARED.map((name) => columns.at[name]), ...OWN.map((name) => columns.own[name] as Column<number>));
  if (all.some((column) => column.length !== fileIds.length))
    throw new TypeError('a column is not as long as the others');
  const starts = new Uint32Array(fileIds.length + 1);
  for (const row of fileIds.keys()) starts[row + 1] = (starts[row] ?? 0) + (columns.rare[row]?.links?.length ?? 1);
  const links = unpack(third);
  if (links.length !== LINK * (starts.at(-1) ?? 0)) throw new TypeError('links are missing');
  return { ...columns, fileIds, ids, links, starts };
}

function idsOf(segment: Segment | undefined): Pick<Block, 'fileIds' | 'ids'> {
  const { fileIds, ids } = parse(segment) as Pick<Block, 'fileIds' | 'ids'>;
  if (!Array.isArray(fileIds) || !Array.isArray(ids)) throw new TypeError('a column is not an array');
  return { fileIds, ids };
}

function parse(segment: Segment | undefined): object {
  return JSON.parse(unpack(segment).toString()) as object;
}

function unpack(segment: Segment | undefined): Buffer {
  if (segment === undefined) throw new TypeError('a segment is missing');
  return unpackSegment(segment);
}

function stateOf(block: Block, row: number): FileState {
  const { ino, size, mtimeMs, ctimeMs } = block;
  return { ino: ino[row] ?? 0, size: size[row] ?? 0, mtimeMs: mtimeMs[row] ?? 0, ctimeMs: ctimeMs[row] ?? 0 };
}

/** A head whose links are extracted on demand: most lists never compare them. */
class RowHead implements ListedHead {
  readonly summary: Summary;
  readonly torn: Torn | undefined;
  readonly end: number;
  readonly #block: Block;
  readonly #row: number;

  constructor(block: Block, row: number) {
    const { torn, more } = block.rare[row] ?? NOTHING;
    const summary = summaryOf(block, row);
    this.summary = more ? { ...summary, ...more } : summary;
    this.torn = torn;
    this.end = block.end[row] ?? 0;
    this.#block = block;
    this.#row = row;
  }

  get header(): ListedHead['header'] {
    return { generation: BigInt(this.#block.generation[this.#row] ?? 0) };
  }

  get links(): ListedHead['links'] {
    const { frames, rare, starts, links: bytes } = this.#block;
    const links = new Array<Buffer | undefined>(frames[this.#row] ?? 0).fill(undefined);
    const start = starts[this.#row] ?? 0;
    for (const [at, frame] of (rare[this.#row]?.links ?? ONE_FRAME).entries()) {
      links[frame] = bytes.subarray((start + at) * LINK, (start + at + 1) * LINK);
    }
    return links;
  }
}

/** All fields in one literal, so that V8 gives all summaries the same shape. */
function summaryOf({ ids, at, own, shared }: Block, row: number): Summary {
  return {
    kind: shared[at.kind[row] ?? 0],
    id: ids[row],
    uuid: own.uuid[row],
    name: own.name[row] ?? undefined,
    title: own.title[row] ?? undefined,
    begun: own.begun[row],
    updated: own.updated[row],
    directory: shared[at.directory[row] ?? 0],
    branch: shared[at.branch[row] ?? 0] ?? undefined,
    worktree: shared[at.worktree[row] ?? 0] ?? undefined,
    project: shared[at.project[row] ?? 0] ?? undefined,
    model: shared[at.model[row] ?? 0],
    messages: own.messages[row],
    tasks: own.tasks[row] ?? undefined,
    toolCalls: own.toolCalls[row] ?? undefined,
    pinned: shared[at.pinned[row] ?? 0] ?? undefined,
    archived: shared[at.archived[row] ?? 0] ?? undefined,
    tags: shared[at.tags[row] ?? 0] ?? undefined,
    inputTokens: own.inputTokens[row],
    outputTokens: own.outputTokens[row],
    cost: own.cost[row],
    status: shared[at.status[row] ?? 0],
    parent: shared[at.parent[row] ?? 0] ?? undefined,
    firstEvent: own.firstEvent[row],
    lastEvent: own.lastEvent[row],
  } as Summary;
}

const NOTHING: Rare = {};
const ONE_FRAME: readonly number[] = [0];
