import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryKeyring } from '../src/keyring/memory.ts';
import { openVault } from '../src/session/open-vault.ts';
import type { Sessions } from '../src/session/sessions.ts';
import { interleave, type Spread, spreadOf } from './measure.ts';
import type { Curve, Line, Measure, Size } from './part.ts';
import { peers } from './peers/all.ts';
import { Field } from './steps-field.ts';
import { measureGrowth } from './steps-growth.ts';
import { measureInMemory } from './steps-memory.ts';
import { lineAgainst, spreadAt } from './vaults.ts';

const SIZES: Record<Size, readonly number[]> = { full: [1e4, 1e5, 1e6, 1e7, 1e8], short: [1e4, 1e5, 1e6, 1e7] };
const ROUNDS: Record<Size, number> = { full: 300, short: 150 };
const WARM_UP = 5;
/**
 * Rounds and warm-up rounds by size, for peers that rewrite a whole session at every step: large
 * sessions take seconds.
 */
const SLOW_ROUNDS: Readonly<Record<number, readonly [rounds: number, warmUp: number]>> = {
  1e4: [60, 3],
  1e5: [40, 3],
  1e6: [20, 2],
  1e7: [7, 1],
  1e8: [3, 1],
};
const quick = peers.filter(({ rewrites }) => !rewrites);
const slow = peers.filter(({ rewrites }) => rewrites);
/** The peers that a step is rated against, in addition to the floor. */
const rated = ['sqlite', 'sqlcipher'];

/**
 * Measures the cost of a step: in coffer, in its peers, and of the least work, at every size and as
 * a session grows.
 */
export const measureSteps: Measure = async (folder, size) => {
  await using sessions = await openVault({ directory: join(folder, 'vault'), keyring: new MemoryKeyring(), env: {} });
  const rows = await measureSizes(sessions, join(folder, 'sizes'), size);
  const growth = await measureGrowth(sessions, join(folder, 'growth'), size);
  const inMemory = await measureInMemory(size);
  return {
    lines: [...flatLine(rows), ...rows.flatMap((row) => row.lines), ...growth.lines, ...inMemory.lines],
    curves: [curveOf(rows), growth.curve],
    notes: [...notesOn(size, rows), ...growth.notes, ...inMemory.notes],
  };
};

async function measureSizes(sessions: Sessions, folder: string, size: Size): Promise<Row[]> {
  const times = new Map<string, Spread>();
  const record = (spreads: ReadonlyMap<string, Spread>): void => {
    for (const [name, spread] of spreads) times.set(name, spread);
  };
  await using stack = new AsyncDisposableStack();
  const fields: Field[] = [];
  mkdirSync(folder);
  for (const bytes of SIZES[size]) fields.push(stack.use(new Field({ sessions, folder }, bytes)));
  for (const field of fields) await field.begin();
  {
    await using opened = new AsyncDisposableStack();
    const tasks = fields.flatMap((field) => field.tasks());
    // The short form runs only the peers that steps are rated against.
    const wanted = size === 'full' ? quick : quick.filter(({ id }) => rated.includes(id));
    for (const field of fields) tasks.push(...opened.use(await field.open(wanted)).tasks());
    record(await interleave(tasks, ROUNDS[size], WARM_UP));
  }
  for (const field of size === 'full' ? fields : []) {
    await using opposed = await field.open(slow);
    record(await interleave([field.besideTask(), ...opposed.tasks()], ...(SLOW_ROUNDS[field.bytes] ?? [1, 0])));
  }
  for (const field of fields) times.set(`leaving ${field.id}`, spreadOf([await field.leave()]));
  return fields.map((field) => rowOf(field, times));
}

/** The results at one size. */
interface Row {
  readonly field: Field;
  /** The steps that weren't folds. */
  readonly coffer: Spread;
  readonly lines: readonly Line[];
  /** Medians by series. */
  readonly medians: ReadonlyMap<string, number>;
}

function rowOf(field: Field, times: ReadonlyMap<string, Spread>): Row {
  const taken = field.taken.slice(WARM_UP);
  const folds = taken.filter(({ kind }) => kind === 'folded');
  const steps = taken.filter(({ kind }) => kind !== 'folded');
  const appended = steps.filter(({ kind }) => kind === 'appended').length > steps.length / 2;
  const coffer = spreadOf(steps.map(({ time }) => time));
  const size = `a ${field.name} session`;
  const what = `a step in ${size}, ${appended ? 'appended' : 'overwritten'}`;
  const floor = baseLine(
    `step-floor-${field.id}`,
    'its bytes appended + fdatasync',
    spreadAt(times, `floor ${field.id}`),
  );
  const sealed = spreadAt(times, `sealed ${field.id}`);
  const lines = [
    floor,
    lineAgainst(`step-sealed-${field.id}`, 'the same number of bytes sealed, appended + fdatasync', sealed, floor),
    lineAgainst(`step-${field.id}`, what, coffer, floor),
  ];
  const medians = new Map([
    ['coffer', coffer.median],
    ['floor', floor.value.median],
  ]);
  if (folds.length > 0) {
    const fold = spreadOf(folds.map(({ time }) => time));
    lines.push(
      baseLine(`step-fold-${field.id}`, `a step that folds ${size}, ${folds.length} of ${taken.length}`, fold),
    );
  }
  if (appended) {
    const left = spreadAt(times, `leaving ${field.id}`);
    lines.push(baseLine(`step-leaving-${field.id}`, `closing ${size}, which folds it`, left));
  }
  for (const { id, name, rewrites } of peers) {
    const value = times.get(`${id} ${field.id}`);
    if (!value) continue;
    medians.set(name, value.median);
    // Compares within the same minutes if there are many rounds; a few aren't enough.
    const ours = rewrites && field.bytes <= 1e6 ? spreadAt(times, `beside ${field.id}`) : coffer;
    const peer = lineAgainst(`peer-${id}-${field.id}`, `${name}: the same in ${size}`, value, {
      what: 'a coffer step',
      value: ours,
    });
    lines.push(peer);
    if (rated.includes(id)) lines.push(lineAgainst(`step-${id}-${field.id}`, what, coffer, { what: name, value }));
  }
  return { field, coffer, lines, medians };
}

function baseLine(id: string, what: string, value: Spread): Line {
  return { id, what, value, unit: 'ms' };
}

function flatLine(rows: readonly Row[]): Line[] {
  const [small, large] = [1e6, 1e8].map((bytes) => rows.find(({ field }) => field.bytes === bytes));
  if (!small || !large) return [];
  const what = `a step in a ${small.field.name} session`;
  return [
    lineAgainst('step-flat', `a step in a ${large.field.name} session`, large.coffer, { what, value: small.coffer }),
  ];
}

function curveOf(rows: readonly Row[]): Curve {
  const names = ['coffer', 'floor', ...peers.map(({ name }) => name)];
  const points = (name: string): [number, number][] =>
    rows.flatMap(({ field, medians }) => {
      const median = medians.get(name);
      return median === undefined ? [] : [[field.bytes, median]];
    });
  return {
    id: 'step-by-size',
    title: 'a step of 2 KB',
    x: 'size of the session (bytes)',
    y: 'time (ms)',
    series: names.map((name) => ({ name, points: points(name) })).filter((series) => series.points.length > 0),
    expect: { series: 'coffer', atMost: 'flat' },
  };
}

function notesOn(size: Size, rows: readonly Row[]): string[] {
  const folds = rows.map(({ field }) => {
    const all = field.taken.slice(WARM_UP);
    const mean = all.reduce((sum, { time }) => sum + time, 0) / all.length;
    const share = all.filter(({ kind }) => kind === 'folded').length / all.length;
    return `${field.name} ${(100 * share).toFixed(1)} %, ${mean.toFixed(2)} ms`;
  });
  return [
    'steps: a step is a question, a call, its result, an answer and its usage, about 2 KB as lines of JSON; to SQL it is five rows in one transaction',
    'steps: sessions of up to 1 MB grow from 0.8 to 1.2 times their size and are then restarted; peers start at the size and keep growing',
    `steps: the median of a step excludes folds; their share, and the mean of all steps with them: ${folds.join('; ')}`,
    ...(size === 'short' ? ['steps: left out in the short form: 100 MB, and peers that no step is rated against'] : []),
  ];
}
