import { Chance } from './chance.ts';

/*
 * States that a power cut may leave on a disk. Between two flushes a disk keeps its writes in a
 * cache, and writes them in any order. When the power goes, everything before the last flush is on
 * the disk, and any part of what came after it, down to single sectors of one write.
 */

/** One write as it reached the device. */
export interface DeviceWrite {
  readonly offset: number;
  readonly data: Buffer;
}

/** The part of a write that reached the disk: all of it, or these sectors. */
export type Arrived = 'whole' | readonly number[];

/** One state that a power cut may leave. */
export interface DeviceState {
  /** Number of flushes before it. */
  readonly flushes: number;
  /** Number of writes that were durable by then. */
  readonly durable: number;
  /** Later writes that had arrived, by their number in the recording. */
  readonly arrived: ReadonlyMap<number, Arrived>;
  /**
   * Positions in the log: the last flush before the cut, and the latest cut that can leave this
   * state.
   */
  readonly from: number;
  readonly until: number;
}

interface Interval {
  readonly flushes: number;
  readonly first: number;
  readonly end: number;
  readonly from: number;
  readonly until: number;
}

const SECTOR = 512;
const BLOCK = 4096;

/**
 * The initial content of a device and every write that reached it, with the flushes between them.
 */
export class Recording {
  readonly before: Buffer;
  readonly writes: readonly DeviceWrite[];
  /** The writes from one flush to the next. */
  readonly #intervals: readonly Interval[];

  /** Reads a log in the format of recorder.py. */
  constructor(before: Buffer, log: Buffer) {
    this.before = before;
    const writes: DeviceWrite[] = [];
    const intervals: Interval[] = [];
    let open = { first: 0, from: 0 };
    let at = 0;
    const close = (until: number): void => {
      intervals.push({ flushes: intervals.length, ...open, end: writes.length, until });
    };
    while (at < log.length) {
      const isFlush = log[at] === FLUSH;
      const start = at + 13;
      const length = log.readUInt32BE(at + 9);
      if (isFlush) close(at);
      else writes.push({ offset: Number(log.readBigUInt64BE(at + 1)), data: log.subarray(start, start + length) });
      at = start + length;
      if (isFlush) open = { first: writes.length, from: at };
    }
    close(at);
    this.writes = writes;
    this.#intervals = intervals;
  }

  /** Returns how many flushes arrived between two positions in the log. */
  flushesBetween(from: number, until: number): number {
    return this.#intervals.filter((interval) => interval.from > from && interval.from <= until).length;
  }

  /**
   * Returns up to `count` states after a cut at or after `from`, in order of time, no two with the
   * same sectors: after every flush nothing more, every prefix of what followed, torn sectors, and
   * random parts of it. The same recording and `seed` yield the same states.
   */
  states(from: number, count: number, seed: number): DeviceState[] {
    const chance = new Chance(seed);
    const intervals = this.#intervals.filter((interval) => interval.until >= from);
    const ways = intervals.map((interval) => this.#waysOf(interval, chance));
    const found: DeviceState[][] = intervals.map(() => []);
    // Each round takes one state of each interval, so that every interval gets its share.
    let left = count;
    while (left > 0) {
      const taken = ways.flatMap((way, index) => {
        const { value } = way.next();
        return value ? [{ index, value }] : [];
      });
      if (taken.length === 0) break;
      const chosen = taken.length <= left ? taken : evenly(taken, left);
      for (const { index, value } of chosen) found[index]?.push(value);
      left -= chosen.length;
    }
    return found.flat();
  }

  *#waysOf(interval: Interval, chance: Chance): Generator<DeviceState, undefined> {
    const { flushes, first, end, from, until } = interval;
    const seen = new Set<string>();
    const numbers = Array.from({ length: end - first }, (_, index) => first + index);
    const state = (arrived: ReadonlyMap<number, Arrived>): DeviceState[] => {
      const key = JSON.stringify([...arrived]);
      if (seen.has(key)) return [];
      seen.add(key);
      return [{ flushes, durable: first, arrived, from, until }];
    };
    const whole = (some: readonly number[]): Map<number, Arrived> => new Map(some.map((number) => [number, 'whole']));
    // The next interval begins with all of them.
    if (interval !== this.#intervals.at(-1)) seen.add(JSON.stringify([...whole(numbers)]));
    yield* state(new Map());
    for (const length of numbers.keys()) {
      yield* state(whole(numbers.slice(0, length + 1)));
      yield* state(this.#tear(whole(numbers.slice(0, length + 1)), numbers[length]!, chance));
    }
    for (let tries = 0; tries < 40 && numbers.length > 0; tries++) {
      const some = whole(numbers.filter(() => chance.percent(50)));
      const torn = chance.of(numbers)!;
      yield* state(tries % 2 === 0 ? some : this.#tear(some, torn, chance));
    }
    return undefined;
  }

  /**
   * Tears a state: only some sectors of one write arrived. The first block arrives whole: it holds
   * ext4's superblock, two sectors under one checksum that no journal protects, and a torn
   * superblock makes the whole file system unusable.
   */
  #tear(arrived: Map<number, Arrived>, number: number, chance: Chance): Map<number, Arrived> {
    const { offset, data } = this.writes[number]!;
    const sectors = Array.from({ length: data.length / SECTOR }, (_, sector) => sector);
    const some = sectors.filter((sector) => offset + sector * SECTOR < BLOCK || chance.percent(50));
    const torn = new Map([...arrived, [number, some.length < sectors.length ? some : 'whole'] as const]);
    if (some.length === 0) torn.delete(number);
    return new Map([...torn].sort(([a], [b]) => a - b));
  }
}

/** Builds the states of a recording one after the other. They must come in order of time. */
export class StateBuilder {
  readonly #recording: Recording;
  /** The durable content of the device. */
  readonly #content: Buffer;
  readonly #used = new Set<number>();
  #applied = 0;

  constructor(recording: Recording) {
    this.#recording = recording;
    this.#content = Buffer.from(recording.before);
    const nothing = Buffer.alloc(BLOCK);
    for (let block = 0; block * BLOCK < this.#content.length; block++) {
      if (!this.#block(block, 1).equals(nothing)) this.#used.add(block);
    }
  }

  /**
   * Yields the writes that, applied to zeros in order, put the device in that state. Valid until
   * the next call.
   */
  *build(state: DeviceState): Generator<DeviceWrite> {
    if (state.durable < this.#applied) throw new RangeError('states must be built in the order of time');
    for (const { offset, data } of this.#recording.writes.slice(this.#applied, state.durable)) {
      data.copy(this.#content, offset);
      const last = Math.floor((offset + data.length - 1) / BLOCK);
      for (let block = Math.floor(offset / BLOCK); block <= last; block++) this.#used.add(block);
    }
    this.#applied = state.durable;
    for (const [first, length] of runsOf([...this.#used].sort((a, b) => a - b))) {
      yield { offset: first * BLOCK, data: this.#block(first, length) };
    }
    for (const [number, arrived] of state.arrived) {
      const { offset, data } = this.#recording.writes[number]!;
      if (arrived === 'whole') yield { offset, data };
      else for (const at of arrived) yield { offset: offset + at * SECTOR, data: sectorOf(data, at) };
    }
  }

  #block(first: number, length: number): Buffer {
    return this.#content.subarray(first * BLOCK, (first + length) * BLOCK);
  }
}

/** Describes a state precisely enough to build it again. */
export function describe({ flushes, durable, arrived }: DeviceState): string {
  const parts = [...arrived].map(([number, what]) =>
    what === 'whole' ? number : `${number}[sectors ${what.join(' ')}]`,
  );
  return `after flush ${flushes} (${durable} writes), arrived ${parts.join(', ') || 'nothing more'}`;
}

function evenly<T>(all: readonly T[], count: number): T[] {
  return Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)]!);
}

function sectorOf(data: Buffer, at: number): Buffer {
  return data.subarray(at * SECTOR, (at + 1) * SECTOR);
}

/** Returns ascending blocks as runs: [first, count]. */
function runsOf(blocks: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (last && last[0] + last[1] === block) last[1]++;
    else runs.push([block, 1]);
  }
  return runs;
}

const FLUSH = 'F'.charCodeAt(0);
