import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Asked } from './driven.ts';
import { type Errno, errorsOf, isFlush } from './errors-possible.ts';
import { CHANGING, LOOKING, type Point, pointsIn, readLog, Tracer, threadsOf } from './strace.ts';
import type { Save } from './strace-kinds.ts';
import { type Broken, lookAfter, lookAt } from './strace-look.ts';
import { type Case, copyVault, type Home, type Ledger, type Place, type Prepared } from './strace-saves.ts';

/** A save, and extra environment of its process: empty, or selecting a wrong way of saving. */
export interface Target {
  readonly prepared: Prepared;
  readonly wrong: NodeJS.ProcessEnv;
}

/**
 * One error of one call; or a limit at which every write that would make a file longer is cut
 * short.
 */
export type Fault = { readonly point: Point; readonly error: Errno } | { readonly limit: number };

/** The outcome of one case. */
export interface Attacked {
  /** False if the call was not made this time. */
  readonly isReached: boolean;
  /** Whether the process reported that it could not save. */
  readonly isReported: boolean;
  readonly broken: readonly Broken[];
}

/**
 * Lengths that cut a save short: in vault.json and the header, in a small frame, in a large one.
 */
const LIMITS = [20, 2_000, 100_000];

/**
 * Codes with which a save reports its failure. Any other code is an error that slipped through.
 * (`KEY_NOT_FOUND`: no key is made if the existence of a vault can't be determined.)
 */
const CODES: readonly string[] = ['NOT_SAVED', 'DURABILITY_UNKNOWN', 'VAULT_BUSY', 'FAILED', 'KEY_NOT_FOUND'];

/** A call on the vault. */
export interface Call {
  readonly point: Point;
  /** Name of the call and the part of the vault it is about, independent of the session. */
  readonly call: string;
}

/** Makes the save once, undisturbed, and returns every call that it makes on the vault. */
export async function callsOf({ prepared, wrong }: Target, place: Place): Promise<Call[]> {
  const { home, driver, ledger } = await prepared.case(place, wrong);
  await using _ended = driver;
  const log = `${home.directory}.log`;
  const threads = threadsOf(driver.pid);
  const tracer = await Tracer.attach(driver.pid, { calls: [...CHANGING, ...LOOKING], log, follow: true });
  for (const asked of attackedIn(prepared)) await ledger.insist(driver, asked);
  await tracer.detach();
  const points = pointsIn(readLog(log), threads).filter(({ what }) => what.includes(home.directory));
  return points.map((point) => ({ point, call: `${point.name} ${thingIn(point, home.directory)}` }));
}

/**
 * Returns each call with its possible errors. A call that changes something always gets the first
 * of its errors, and another one unless the same call on the same part had that error before, here
 * or in an earlier kind of save: the kind of error affects the message. A call that only looks gets
 * each error, unless an earlier kind of save made the same look as often. `known` is what earlier
 * calls returned.
 */
export function faultsOf(calls: readonly Call[], known: Set<string>): Fault[] {
  const times = new Map<string, number>();
  const errors = calls.flatMap(({ point, call }) => {
    const time = (times.get(call) ?? 0) + 1;
    times.set(call, time);
    const isLook = LOOKING.some((name) => name.replace('?', '') === point.name);
    return errorsOf(point).flatMap((error, index) => {
      const kind = `${error} ${call} ${isLook ? time : ''}`;
      if ((index > 0 || isLook) && known.has(kind)) return [];
      known.add(kind);
      return [{ point, error }];
    });
  });
  return [...errors, ...LIMITS.map((limit) => ({ limit }))];
}

/** Returns the part of the vault a call is about, independent of the session. */
function thingIn({ what }: Point, directory: string): string {
  const [, path = ''] = what.split(directory);
  const [name] = path.split(/[">]/);
  return `${name?.replaceAll(/[0-9a-f]{16,}/g, '*')} ${/O_CREAT|O_WRONLY|O_RDWR/.exec(what) ?? ''}`;
}

/**
 * Makes one call fail in one process, checks what a crash would leave at that point, lets the same
 * process save again without the fault, and checks again.
 */
export async function attack({ prepared, wrong }: Target, fault: Fault, place: Place): Promise<Attacked> {
  const one = await prepared.case(place, wrong);
  await using _ended = one.driver;
  const { home, driver, ledger } = one;
  const { isInjected, isElsewhere, answers } = await suffer(one, fault, attackedIn(prepared));
  if (isElsewhere) return { isReached: false, isReported: false, broken: [] };
  const isReported = answers.some(isRefusal);
  // Everything is saved, apart from a mark against rollback or the entry in the known vaults.
  const isUnmarked = answers.some((answer) => answer?.unmarked !== undefined || answer?.unknown !== undefined);
  const isFlushLost = isInjected && 'point' in fault && isFlush(fault.point) && !isUnmarked;
  const broken = badlyTold(answers);
  if (isFlushLost && !isReported)
    broken.push({ breach: 'not told', what: 'a flush failed, and it is said to be durable' });

  broken.push(...(await lookAtCopy(home, ledger)));

  const before = inodeIn(home.directory);
  const next = await askAll(one, nextIn(prepared));
  for (const answer of next.filter(isRefusal)) {
    broken.push({ breach: 'cannot go on', what: `the next save, without the fault: ${wordsOf(answer)}` });
  }
  if (
    isFlushLost &&
    mustMove(prepared.save, fault.point) &&
    before !== undefined &&
    before === inodeIn(home.directory)
  ) {
    broken.push({ breach: 'same file', what: 'the save after a flush that failed went to the same file' });
  }
  await driver.kill();
  const { broken: afterwards } = await lookAfter(home, ledger, { isOnce: true });
  broken.push(...afterwards, ...wrongModes(home.directory));
  rmSync(home.directory, { recursive: true, force: true });
  const isReached = isInjected || isReported || broken.length > 0;
  return { isReached, isReported: isReported || isUnmarked, broken };
}

/**
 * Returns whether the next save has to go to a new file. A snapshot is not part of the session's
 * file. Resuming a session flushes its directory again before anything is appended, so there only a
 * failed flush of the file itself is final.
 */
function mustMove({ next }: Save, { what }: Point): boolean {
  const isResumed = next.some((asked) => asked.do === 'resume');
  return next.some((asked) => asked.do === 'step') && (!isResumed || !what.endsWith('/sessions>'));
}

/** Requests the save under the fault, and then removes the fault. */
async function suffer(
  one: Case,
  fault: Fault,
  asks: readonly Asked[],
): Promise<{ isInjected: boolean; isElsewhere: boolean; answers: (Answer | undefined)[] }> {
  const { pid } = one.driver;
  if ('limit' in fault) {
    execFileSync('prlimit', ['--pid', String(pid), `--fsize=${fault.limit}:`]);
    const answers = await askAll(one, asks);
    if (answers.at(-1)) execFileSync('prlimit', ['--pid', String(pid), '--fsize=unlimited:']);
    return { isInjected: false, isElsewhere: false, answers };
  }
  const { name, nth, role } = fault.point;
  const log = `${one.home.directory}.log`;
  const inject = `${name}:error=${fault.error}:when=${nth}`;
  const tracer = await Tracer.attach(threadsOf(pid)[role as 'main' | 'pool'], { calls: [name], inject, log });
  const answers = await askAll(one, asks);
  await tracer.detach();
  const hit = readFileSync(log, 'utf8')
    .split('\n')
    .find((line) => line.includes('(INJECTED)'));
  rmSync(log);
  // The number of writes that wake a thread varies, so another write, outside the vault, may have
  // been hit.
  const isElsewhere = hit !== undefined && !hit.includes(one.home.directory);
  return { isInjected: hit !== undefined, isElsewhere, answers };
}

async function askAll({ driver, ledger }: Case, asks: readonly Asked[]): Promise<(Answer | undefined)[]> {
  const answers: (Answer | undefined)[] = [];
  for (const asked of asks) {
    answers.push(await ledger.ask(driver, asked));
    if (!answers.at(-1)) break;
  }
  return answers;
}

/** Returns the save as a chat makes it: `unsaved` reports what can't be saved. */
function attackedIn({ save }: Prepared): Asked[] {
  return save.attacked.map(asChat);
}

function nextIn({ save }: Prepared): Asked[] {
  return save.next.map(asChat);
}

function asChat(asked: Asked): Asked {
  if (asked.do === 'open') return { do: 'vault' };
  return asked.do === 'step' ? { ...asked, do: 'record' } : asked;
}

function isRefusal(answer: Answer | undefined): boolean {
  return !answer?.ok || answer.unsaved !== undefined;
}

function wordsOf(answer: Answer | undefined): string {
  if (!answer) return 'the process is dead';
  const { code, message } = answer.error ?? answer.unsaved ?? { code: 'ok', message: '' };
  return `${code} ${message}`;
}

function badlyTold(answers: readonly (Answer | undefined)[]): Broken[] {
  return answers
    .filter((answer) => isRefusal(answer) && !CODES.some((code) => wordsOf(answer).startsWith(`${code} `)))
    .map((answer) => ({ breach: 'not told', what: wordsOf(answer) }));
}

/** Checks what a fresh process would find if this one were killed now. */
async function lookAtCopy(home: Home, ledger: Ledger): Promise<readonly Broken[]> {
  if (!existsSync(home.directory)) return [];
  const directory = `${home.directory}-then`;
  copyVault(home.directory, directory);
  const broken = await lookAt({ directory, env: { ...home.env, COFFER_DATA_DIR: directory } }, ledger);
  rmSync(directory, { recursive: true });
  return broken;
}

/** Returns the inode of the file that `_autosave` points at. */
function inodeIn(directory: string): bigint | undefined {
  return statSync(join(directory, 'sessions', '_autosave'), { bigint: true, throwIfNoEntry: false })?.ino;
}

function wrongModes(directory: string): Broken[] {
  const sessions = join(directory, 'sessions');
  return [join(directory, 'vault.json'), ...readdirSync(sessions).map((name) => join(sessions, name))]
    .map((path) => ({ path, stats: lstatSync(path) }))
    .filter(({ stats }) => stats.isFile() && (stats.mode & 0o777) !== 0o600)
    .map(({ path, stats }) => ({
      breach: 'not as it was',
      what: `${path} has mode ${(stats.mode & 0o777).toString(8)}`,
    }));
}
