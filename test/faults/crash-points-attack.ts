import { rmSync } from 'node:fs';
import type { Answer } from './driven.ts';
import { CHANGING, type Point, pointsIn, pointsOfAll, readLog, Tracer, threadsOf } from './strace.ts';
import { type Broken, lookAfter } from './strace-look.ts';
import { isLate, type Place, type Prepared, TRIES } from './strace-saves.ts';

/*
 * A save is killed at the entry of every call that could change something, which is after the one before it: nothing happens between
 * two of them that anybody else could see. Left out are the calls that only look (stat, read, getdents, an open for reading and the
 * close of what is not the vault's), those that wake another thread of the same process or touch nothing but its memory and timers,
 * and the locks (fcntl), which end with the process wherever it is killed.
 */

/** A save and the environment of the process that makes it: empty, or one that makes it in a wrong way. */
export interface Target {
  readonly prepared: Prepared;
  readonly wrong: NodeJS.ProcessEnv;
}

/** What became of one case. */
export interface Attacked {
  /** False where the call was not made this time: what a thread writes to wake another depends on who is faster. */
  readonly isReached: boolean;
  readonly broken: readonly Broken[];
  readonly orphans: number;
}

/** How often a thread may wake another one less or more often than in the dry run: that shifts the number of its writes. */
const SHIFT = [-1, 0, 1, 2];

/** Makes the save once, undisturbed, and gives every call to be killed at. */
export async function pointsOf(target: Target, place: Place): Promise<Point[]> {
  for (let attempt = 1; ; attempt++) {
    const { points, answers } = await dryRun(target, place);
    if (answers.every((answer) => answer?.ok)) return points;
    // A save that a late keychain held up makes other calls than one that it did not.
    if (attempt === TRIES || !answers.some(isLate)) throw new Error(`a dry run failed: ${JSON.stringify(answers)}`);
  }
}

async function dryRun(
  { prepared, wrong }: Target,
  place: Place,
): Promise<{ points: Point[]; answers: (Answer | undefined)[] }> {
  const { home, driver, ledger, broker } = await prepared.case(place, wrong);
  await using _ended = driver;
  const log = `${home.directory}.log`;
  const threads = threadsOf(driver.pid);
  const tracer = await Tracer.attach(broker ?? driver.pid, { calls: CHANGING, log, follow: true });
  const answers: (Answer | undefined)[] = [];
  for (const asked of prepared.save.attacked) answers.push(await ledger.ask(driver, asked));
  await driver.kill();
  await tracer.detach();
  const points = broker === undefined ? pointsIn(readLog(log), threads) : pointsOfAll(readLog(log));
  const { about } = prepared.save;
  const changing = points.filter((point) => couldChange(point, home.directory) && about?.test(point.what) !== false);
  return { points: withShifts(changing), answers };
}

function couldChange({ name, what }: Point, directory: string): boolean {
  if (name.startsWith('open')) return /O_CREAT|O_WRONLY|O_RDWR|O_TRUNC/.test(what);
  if (name === 'close') return what.includes(directory);
  return name !== 'write' || !/^\d+<(anon_inode:\[eventfd\]|pipe:.*)>/.test(what);
}

function withShifts(points: readonly Point[]): Point[] {
  const all = new Map<string, Point>();
  for (const point of points) {
    for (const shift of point.name === 'write' ? SHIFT : [0]) {
      const key = `${point.role} ${point.name} ${point.nth + shift}`;
      if (point.nth + shift > 0 && (shift === 0 || !all.has(key))) all.set(key, { ...point, nth: point.nth + shift });
    }
  }
  return [...all.values()];
}

/** Kills one process at one call and looks at what is left. */
export async function attack({ prepared, wrong }: Target, point: Point, place: Place): Promise<Attacked> {
  const { home, driver, ledger, broker } = await prepared.case(place, wrong);
  const log = `${home.directory}.log`;
  const tid = point.role === 'all' ? broker! : threadsOf(driver.pid)[point.role];
  const inject = `${point.name}:signal=KILL:when=${point.nth}`;
  const tracer = await Tracer.attach(tid, { calls: [point.name], inject, log, follow: point.role === 'all' });
  let isAlive = true;
  for (const asked of prepared.save.attacked) {
    if (!isAlive) break;
    isAlive = (await ledger.ask(driver, asked)) !== undefined;
  }
  await driver.kill();
  await tracer.detach();
  const isReached = point.role === 'all' ? reached(log, point) : !isAlive;
  const { broken, orphans } = await lookAfter(home, ledger, { bus: place.bus });
  const changed = prepared.save.also?.(home.directory, prepared.original) ?? [];
  rmSync(home.directory, { recursive: true, force: true });
  rmSync(log, { force: true });
  return {
    isReached,
    broken: [...broken, ...changed.map((what) => ({ breach: 'not as it was', what }) as const)],
    orphans,
  };
}

function reached(log: string, { nth }: Point): boolean {
  return pointsOfAll(readLog(log)).some((made) => made.nth === nth);
}
