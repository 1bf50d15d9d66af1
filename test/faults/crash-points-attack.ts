import { rmSync } from 'node:fs';
import type { Answer } from './driven.ts';
import { CHANGING, type Point, pointsIn, pointsOfAll, readLog, Tracer, threadsOf } from './strace.ts';
import { type Broken, lookAfter } from './strace-look.ts';
import { isLate, type Place, type Prepared, TRIES } from './strace-saves.ts';

/*
 * A save is killed at the entry of every call that could change something, which means after the
 * previous one: nothing that another process could see happens between two calls. Left out are the
 * calls that only look (stat, read, getdents, an open for reading and the close of files outside
 * the vault), those that wake another thread of the same process or touch only its memory and
 * timers, and the locks (fcntl), which end with the process wherever it is killed.
 */

/** A save and extra environment of its process: empty, or selecting a wrong way of saving. */
export interface Target {
  readonly prepared: Prepared;
  readonly wrong: NodeJS.ProcessEnv;
}

/** The outcome of one case. */
export interface Attacked {
  /**
   * False if the call was not made this time: a thread's writes to wake another depend on which
   * thread is faster.
   */
  readonly isReached: boolean;
  readonly broken: readonly Broken[];
  readonly orphans: number;
}

/**
 * A thread may wake another one less or more often than in the dry run, which shifts the numbers of
 * its writes by this much.
 */
const SHIFT = [-1, 0, 1, 2];

/** Makes the save once, undisturbed, and returns every call at which to kill it. */
export async function pointsOf(target: Target, place: Place): Promise<Point[]> {
  for (let attempt = 1; ; attempt++) {
    const { points, answers } = await dryRun(target, place);
    if (answers.every((answer) => answer?.ok)) return points;
    // A save delayed by a late keychain makes other calls than one that was not.
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

/** Kills one process at one call and checks what is left. */
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
