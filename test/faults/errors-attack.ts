import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Asked } from './driven.ts';
import { type Errno, errorsOf, isFlush } from './errors-possible.ts';
import { CHANGING, LOOKING, type Point, pointsIn, readLog, Tracer, threadsOf } from './strace.ts';
import type { Save } from './strace-kinds.ts';
import { type Broken, lookAfter, lookAt } from './strace-look.ts';
import { type Case, copyVault, type Home, type Ledger, type Place, type Prepared } from './strace-saves.ts';

/** A save, and the environment of the process that makes it: empty, or one that makes it in a wrong way. */
export interface Target {
  readonly prepared: Prepared;
  readonly wrong: NodeJS.ProcessEnv;
}

/** One error of one call; or every write that would make a file longer than so many bytes is cut short there. */
export type Fault = { readonly point: Point; readonly error: Errno } | { readonly limit: number };

/** What became of one case. */
export interface Attacked {
  /** False where the call was not made this time. */
  readonly isReached: boolean;
  /** Whether the process said that it could not save. */
  readonly isReported: boolean;
  readonly broken: readonly Broken[];
}

/** Lengths that cut a save short: in vault.json and the header, in a small frame, in a large one. */
const LIMITS = [20, 2_000, 100_000];

/**
 * The codes by which a save says that it failed; anything else is an error that slipped through. (`KEY_NOT_FOUND`: where it can't be
 * told whether there is a vault already, no key is made.)
 */
const CODES: readonly string[] = ['NOT_SAVED', 'DURABILITY_UNKNOWN', 'VAULT_BUSY', 'FAILED', 'KEY_NOT_FOUND'];

/** A call on the vault. */
export interface Call {
  readonly point: Point;
  /** Name of the call and what of the vault it is about, whichever session that is. */
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
 * Returns each call with what it could end with. A call that changes something gets the first of its errors in any case, and another one
 * if the same call on the same thing has not had that, here or in a kind of save before: which error it is makes a difference in what is
 * said. A call that only looks gets each of them if no kind of save before has looked the same way as often. `known` is what was
 * returned before.
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

/** What of the vault a call is about, whichever session that is. */
function thingIn({ what }: Point, directory: string): string {
  const [, path = ''] = what.split(directory);
  const [name] = path.split(/[">]/);
  return `${name?.replaceAll(/[0-9a-f]{16,}/g, '*')} ${/O_CREAT|O_WRONLY|O_RDWR/.exec(what) ?? ''}`;
}

/**
 * Lets one call fail in one process, looks at what a crash would leave there, lets the same process save again without the fault,
 * and looks once more.
 */
export async function attack({ prepared, wrong }: Target, fault: Fault, place: Place): Promise<Attacked> {
  const one = await prepared.case(place, wrong);
  await using _ended = one.driver;
  const { home, driver, ledger } = one;
  const { isInjected, isElsewhere, answers } = await suffer(one, fault, attackedIn(prepared));
  if (isElsewhere) return { isReached: false, isReported: false, broken: [] };
  const isReported = answers.some(isRefusal);
  // All is saved; what could not be written is a mark against rollback, or which key the vault has.
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
 * Tells whether the next save has to go to a new file. A snapshot is none of the session's file; who resumes a session flushes its
 * directory once more before anything is appended, so that there only the flush of the file itself is lost for good.
 */
function mustMove({ next }: Save, { what }: Point): boolean {
  const isResumed = next.some((asked) => asked.do === 'resume');
  return next.some((asked) => asked.do === 'step') && (!isResumed || !what.endsWith('/sessions>'));
}

/** Asks for the save under the fault; afterwards the fault is gone. */
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
  // How often a thread is woken by a write of its own differs: another write may have been hit, which is none of the vault's.
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

/** The save as a chat makes it: what can't be saved is told by `unsaved`. */
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

/** What a fresh process would find if this one were killed now. */
async function lookAtCopy(home: Home, ledger: Ledger): Promise<readonly Broken[]> {
  if (!existsSync(home.directory)) return [];
  const directory = `${home.directory}-then`;
  copyVault(home.directory, directory);
  const broken = await lookAt({ directory, env: { ...home.env, COFFER_DATA_DIR: directory } }, ledger);
  rmSync(directory, { recursive: true });
  return broken;
}

/** The file that `_autosave` points at. */
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
