import { existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MemoryKeyring } from '../src/keyring/memory.ts';
import { openVault } from '../src/session/open-vault.ts';
import type { Sessions } from '../src/session/sessions.ts';
import { quantile, type Spread, spreadOf } from './measure.ts';
import type { Line, Measure, Size } from './part.ts';
import { namesOf, STEP } from './steps-field.ts';
import { type Kind, SteppedSession, type Timer } from './steps-session.ts';
import { Transcript } from './transcript.ts';

const SIZES: Record<Size, readonly number[]> = { full: [1e4, 1e5, 1e6, 1e7, 1e8], short: [1e4, 1e5, 1e6, 1e7] };
const STEPS: Record<Size, number> = { full: 400, short: 200 };
/** Steps before the ones that count. */
const WARM_UP = 5;
/**
 * Number of equal parts of the run; the 99th percentile is also taken of each part, for its spread.
 */
const PARTS = 4;

/**
 * Measures how long a step keeps everything else in the process from running: a user who types
 * meanwhile sees nothing.
 */
export const measureBlocked: Measure = async (folder, size) => {
  await using sessions = await openVault({ directory: join(folder, 'vault'), keyring: new MemoryKeyring(), env: {} });
  const found: Found[] = [];
  for (const bytes of SIZES[size]) found.push(await measureAt(sessions, bytes, STEPS[size]));
  const worst = found.reduce((most, each) => (each.p99.median > most.p99.median ? each : most));
  const line = (id: string, { name, p99 }: Found): Line => ({
    id,
    what: `the main thread blocked by one step, 99th percentile, ${name}`,
    value: p99,
    unit: 'ms',
  });
  return {
    lines: [line('step-blocked', worst), ...found.map((each) => line(`step-blocked-${each.id}`, each))],
    curves: [
      {
        id: 'step-blocked',
        title: 'the main thread blocked by one step of 2 KB',
        x: 'size of the session (bytes)',
        y: 'time (ms)',
        series: [
          { name: '99th percentile', points: found.map(({ bytes, p99 }) => [bytes, p99.median]) },
          { name: 'median', points: found.map(({ bytes, median }) => [bytes, median]) },
        ],
      },
    ],
    notes: [
      'blocked: the longest time between two turns of the event loop during a step, minus the median of the same over an equally long idle time',
      waits === undefined
        ? 'blocked: includes the times when other processes had the processor; if idle times show them, too, the machine is too busy to measure this'
        : 'blocked: excludes the times when this thread waited for a processor that others had; includes waiting for the disk',
      ...found.map(({ note }) => note),
    ],
  };
};

/** The results at one size. */
interface Found {
  readonly bytes: number;
  readonly id: string;
  readonly name: string;
  /**
   * The median is the 99th percentile of all steps; p10 and p90 are those of the parts of the run.
   */
  readonly p99: Spread;
  readonly median: number;
  readonly note: string;
}

async function measureAt(sessions: Sessions, bytes: number, steps: number): Promise<Found> {
  const [id, name] = namesOf(bytes);
  // Room up to twice the size, so that folds happen as they do in a growing session.
  await using session = new SteppedSession(sessions, { from: bytes, to: 2 * bytes }, new Transcript(bytes));
  const taken: Taken[] = [];
  for (let count = -WARM_UP; count < steps; count++) {
    await pause(1);
    const { time, kind } = await session.step(STEP, longestGap);
    const idle = await longestGap(() => pause(Math.max(1, time)));
    if (count >= 0) taken.push({ gap: time, kind, idle });
  }
  const leaving = await session.close(longestGap);
  return { bytes, id, name, ...foundIn(taken), note: noteOn(name, taken, leaving) };
}

/** The longest gap during a step, and during an idle time after it, in milliseconds. */
interface Taken {
  readonly gap: number;
  readonly idle: number;
  readonly kind: Kind;
}

function foundIn(taken: readonly Taken[]): Pick<Found, 'p99' | 'median'> {
  const idle = quantileOf(taken, 'idle', 0.5);
  const blockedAt = (part: number, of: readonly Taken[]): number =>
    Math.max(SMALLEST, quantileOf(of, 'gap', part) - idle);
  const each = taken.length / PARTS;
  const parts = Array.from({ length: PARTS }, (_, part) => taken.slice(part * each, (part + 1) * each));
  const spread = spreadOf(parts.map((part) => blockedAt(0.99, part)));
  return { p99: { ...spread, runs: taken.length, median: blockedAt(0.99, taken) }, median: blockedAt(0.5, taken) };
}

function noteOn(name: string, taken: readonly Taken[], leaving: number): string {
  const folds = taken.filter(({ kind }) => kind === 'folded');
  const longest = (of: readonly Taken[]): string => `${Math.max(...of.map(({ gap }) => gap)).toFixed(2)} ms`;
  return [
    `blocked: ${name}: longest of ${taken.length} steps ${longest(taken)}`,
    folds.length > 0 ? `of the ${folds.length} folds among them ${longest(folds)}` : 'no folds among them',
    `closing it ${leaving.toFixed(2)} ms`,
    `idle 99th percentile ${quantileOf(taken, 'idle', 0.99).toFixed(2)} ms`,
  ].join('; ');
}

/**
 * The smallest value that is reported: less can't be told from zero, and logarithms need more than
 * 0.
 */
const SMALLEST = 0.001;

/**
 * Returns the longest time during which nothing else could have run: from the call to the first
 * turn of the event loop, between two of its turns, or from the last one to the end.
 */
const longestGap: Timer = async (work) => {
  let longest = 0;
  let ticking = true;
  let last = now();
  const tick = (): void => {
    const time = now();
    longest = Math.max(longest, time - last);
    last = time;
    if (ticking) setImmediate(tick);
  };
  setImmediate(tick);
  try {
    await work();
  } finally {
    ticking = false;
    tick();
  }
  return longest;
};

/**
 * The file in which Linux reports how long this thread has waited for a processor; see the kernel's
 * Documentation/scheduler/sched-stats.rst.
 */
const waits = existsSync('/proc/thread-self/schedstat') ? openSync('/proc/thread-self/schedstat', 'r') : undefined;
const waited = Buffer.alloc(96);

/**
 * Returns the milliseconds that have passed for this thread, without those in which it waited for a
 * processor.
 */
function now(): number {
  let before = waitedSoFar();
  for (;;) {
    const time = performance.now();
    const after = waitedSoFar();
    // A wait between the two readings, where most waits begin, would count as a gap.
    if (after === before) return time - after;
    before = after;
  }
}

function waitedSoFar(): number {
  if (waits === undefined) return 0;
  const length = readSync(waits, waited, 0, waited.length, 0);
  return Number(waited.toString('latin1', 0, length).split(' ')[1]) / 1e6;
}

function quantileOf(taken: readonly Taken[], of: 'gap' | 'idle', part: number): number {
  const values = taken.map((each) => each[of]).sort((a, b) => a - b);
  return quantile(values, part);
}
