import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Sessions } from '../src/session/sessions.ts';
import { interleave, spreadOf, type Task } from './measure.ts';
import type { Curve, Line, Series, Size } from './part.ts';
import { STEP } from './steps-field.ts';
import { Floor, SteppedSession, type Taken } from './steps-session.ts';
import { Transcript } from './transcript.ts';

/** Size of a large step, in bytes; for each large step, ten of the usual size. */
const LARGE = 10 * STEP;
const STEPS: Record<Size, number> = { full: 500, short: 100 };
const BESIDE = LARGE / STEP;
/** Number of steps in the first point; every further point has as many as all before it. */
const FIRST = 10;

/** Measures how the cost of a step develops as a session grows, to 10 MB in the full form. */
export async function measureGrowth(
  sessions: Sessions,
  folder: string,
  size: Size,
): Promise<{ lines: Line[]; curve: Curve; notes: string[] }> {
  mkdirSync(folder);
  await using stack = new AsyncDisposableStack();
  const growing = (bytes: number): Growing => stack.use(new Growing(sessions, bytes, join(folder, `floor-${bytes}`)));
  const [large, small] = [growing(LARGE), growing(STEP)];
  const many = Array.from({ length: BESIDE }, (_, at) => small.stepTask(at));
  await interleave([large.stepTask(0), ...many, large.floorTask(), small.floorTask()], STEPS[size], 0);
  const both = [small, large];
  return {
    lines: both.flatMap((each) => each.foldLine()),
    curve: {
      id: 'step-by-steps',
      title: 'the n-th step of a session',
      x: 'n (steps)',
      y: 'time (ms)',
      series: both.flatMap((each) => each.series()),
      expect: { series: small.name, atMost: 'flat' },
    },
    notes: both.map((each) => each.note()),
  };
}

/**
 * A session that starts empty and grows step by step, and a file that its frames are appended to.
 */
class Growing implements AsyncDisposable {
  readonly name: string;
  readonly #bytes: number;
  readonly #session: SteppedSession;
  readonly #floor: Floor;
  readonly #taken: Taken[] = [];
  /** The step number and the time of each floor run. */
  readonly #floors: [step: number, time: number][] = [];

  constructor(sessions: Sessions, bytes: number, floor: string) {
    this.name = `coffer, ${bytes / 1024} KB a step`;
    this.#bytes = bytes;
    this.#session = new SteppedSession(sessions, { from: 1, to: Number.POSITIVE_INFINITY }, new Transcript(bytes));
    this.#floor = new Floor(floor);
  }

  stepTask(at: number): Task {
    const run = async (): Promise<number> => {
      const taken = await this.#session.step(this.#bytes);
      this.#taken.push(taken);
      return taken.time;
    };
    return { name: `${this.name} ${at}`, run };
  }

  floorTask(): Task {
    const run = (): number => {
      const time = this.#floor.append(this.#session.written);
      this.#floors.push([this.#taken.length, time]);
      return time;
    };
    return { name: `floor of ${this.name}`, run };
  }

  series(): Series[] {
    const steps = this.#taken.map(({ time }, at): [number, number] => [at + 1, time]);
    const floor = this.name.replace('coffer', 'floor');
    return [
      { name: this.name, points: buckets(steps) },
      { name: floor, points: buckets(this.#floors.filter(([step]) => step > 0)) },
    ];
  }

  foldLine(): Line[] {
    const folds = this.#folds();
    if (folds.length === 0) return [];
    const kilobytes = this.#bytes / 1024;
    const what = `a step of ${kilobytes} KB that folds, ${folds.length} of the first ${this.#taken.length}`;
    return [{ id: `step-fold-growing-${kilobytes}kb`, what, value: spreadOf(folds), unit: 'ms' }];
  }

  note(): string {
    const folds = this.#folds();
    const all = this.#taken.map(({ time }) => time);
    const [mean, median] = [sum(all) / all.length, spreadOf(all).median];
    const megabytes = (all.length * this.#bytes) / 1e6;
    return (
      `growth: ${all.length} steps of ${this.#bytes / 1024} KB to ${megabytes.toFixed(0)} MB: ${folds.length} folds, the longest ` +
      `${Math.max(0, ...folds).toFixed(1)} ms; all steps with them: median ${median.toFixed(2)} ms, mean ${mean.toFixed(2)} ms`
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#floor[Symbol.dispose]();
    await this.#session.close();
  }

  #folds(): number[] {
    return this.#taken.filter(({ kind }) => kind === 'folded').map(({ time }) => time);
  }
}

/**
 * Returns the medians over ever more steps; a last bucket that is less than half full is merged
 * into the one before it.
 */
function buckets(samples: readonly (readonly [step: number, time: number])[]): [number, number][] {
  const points: [number, number][] = [];
  const last = samples.at(-1)?.[0] ?? 0;
  for (let from = 0, to = FIRST; from < last; from = to, to *= 2) {
    if (to * 1.5 > last) to = last;
    const times = samples.filter(([step]) => step > from && step <= to).map(([, time]) => time);
    if (times.length > 0) points.push([(from + to) / 2, spreadOf(times).median]);
  }
  return points;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
