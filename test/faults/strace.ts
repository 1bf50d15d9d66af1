import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * strace counts the calls of each thread separately, so `when=3` means the third call of whichever
 * thread makes three first. To hit one certain call a tracer is therefore attached to one thread
 * alone, and a process under attack has one thread in its pool (UV_THREADPOOL_SIZE=1). Its calls
 * are then a fixed sequence of the main thread and another of the pool's thread.
 */

/**
 * The threads of Node that touch files: the main thread makes synchronous calls, the pool the rest.
 * `all` are those of another process, the keychain's broker, whose threads come and go: there the
 * first thread that makes its nth call is hit.
 */
export type Role = 'main' | 'pool' | 'all';

/**
 * One call of a dry run: the `nth` of its name that this thread made; `what` are its arguments, for
 * readers.
 */
export interface Point {
  readonly role: Role;
  readonly name: string;
  readonly nth: number;
  readonly what: string;
}

/** A call in a log: the thread, and whether it belongs to the process or to one that it started. */
export interface Logged {
  readonly tid: number;
  readonly name: string;
  readonly args: string;
}

/** Options of a tracer. */
export interface TraceOptions {
  /** Names of calls; a `?` before one that not every processor has. */
  readonly calls: readonly string[];
  /** The injection into one of them: `fsync:error=EIO:when=1`. */
  readonly inject?: string;
  /** The file to which the calls are logged. */
  readonly log?: string;
  /** Also traces the other threads of a process, and the processes it starts. */
  readonly follow?: boolean;
}

/** Every call by which a save could change something outside its own process. */
export const CHANGING: readonly string[] = [
  ...['openat', 'openat2', '?open', '?creat', 'close'],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'ftruncate', '?truncate', 'fallocate', 'copy_file_range'],
  ...['fsync', 'fdatasync', 'sync_file_range', 'syncfs'],
  ...['?rename', 'renameat', 'renameat2', '?link', 'linkat', '?symlink', 'symlinkat', '?unlink', 'unlinkat'],
  ...['?mkdir', 'mkdirat', '?rmdir', '?chmod', 'fchmod', 'fchmodat', '?chown', 'fchown', '?lchown', 'fchownat'],
  ...['utimensat', 'sendto', 'sendmsg', 'sendmmsg', 'connect', 'shutdown'],
];

/** The calls by which it looks at something; none of them changes anything, but each can fail. */
export const LOOKING: readonly string[] = [
  ...['statx', '?newfstatat', '?stat', '?lstat', '?fstat', 'statfs', '?access', 'faccessat', 'faccessat2'],
  ...['read', 'readv', 'pread64', 'preadv', 'getdents64', '?readlink', 'readlinkat', 'lseek'],
];

/** Time a tracer may take to detach, in milliseconds. */
const PATIENCE = 5_000;

/** A strace that is attached to a thread, or with `follow` to a process. */
export class Tracer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit');
  }

  /** Attaches. Resolves once no further call of the thread can be missed. */
  static async attach(tid: number, { calls, inject, log, follow }: TraceOptions): Promise<Tracer> {
    const args = ['-o', log ?? '/dev/null', '-s', '8', '-p', String(tid), '-e', `trace=${calls.join(',')}`];
    if (log) args.push('-y');
    if (follow) args.push('-f');
    if (inject) args.push('-e', `inject=${inject}`);
    const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const tracer = new Tracer(child);
    let told = '';
    // It prints "Process 1234 attached" for each thread once it traces it.
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`strace does not attach to ${tid}: ${told}`)));
      child.stderr!.setEncoding('utf8').on('data', (part: string) => {
        told += part;
        if (told.includes(' attached')) resolve();
      });
    });
    return tracer;
  }

  /**
   * Detaches from the thread: from here on nothing is injected. strace waits forever for a child of
   * its process that ended and was not reaped. In that case it is killed, after everything was
   * logged.
   */
  async detach(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE);
    await this.#ended;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.detach();
  }
}

/** The two threads of a process that touch files. */
export type Threads = Readonly<Record<'main' | 'pool', number>>;

/** Finds the threads of a process that has one in its pool. */
export function threadsOf(pid: number): Threads {
  const tasks = `/proc/${pid}/task`;
  const pool = readdirSync(tasks).filter((tid) => readFileSync(join(tasks, tid, 'comm'), 'utf8') === 'libuv-worker\n');
  if (pool.length !== 1) throw new Error(`process ${pid} has ${pool.length} threads in its pool`);
  return { main: pid, pool: Number(pool[0]) };
}

/** Reads the log of a tracer with `follow`, in the order in which the calls began. */
export function readLog(log: string): Logged[] {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : [];
  return lines.flatMap((line) => {
    const [, tid, name, args] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [{ tid: Number(tid), name, args: args ?? '' }];
  });
}

/**
 * Converts the calls of a dry run to points to attack, without those of other threads and of
 * processes that it started.
 */
export function pointsIn(logged: readonly Logged[], threads: Threads): Point[] {
  const roleOf = new Map<number, Role>([
    [threads.main, 'main'],
    [threads.pool, 'pool'],
  ]);
  const count = counter();
  return logged.flatMap((call) => {
    const role = roleOf.get(call.tid);
    return role ? [{ role, name: call.name, nth: count(call), what: whatOf(call) }] : [];
  });
}

/** Like `pointsIn`, for a process whose threads are not told apart: each `nth` of a name once. */
export function pointsOfAll(logged: readonly Logged[]): Point[] {
  const count = counter();
  const points = new Map<string, Point>();
  for (const call of logged) {
    const nth = count(call);
    const key = `${call.name} ${nth}`;
    if (!points.has(key)) points.set(key, { role: 'all', name: call.name, nth, what: whatOf(call) });
  }
  return [...points.values()];
}

/** Numbers the calls of one name of one thread. */
function counter(): (call: Logged) => number {
  const counted = new Map<string, number>();
  return ({ tid, name }) => {
    const nth = (counted.get(`${tid} ${name}`) ?? 0) + 1;
    counted.set(`${tid} ${name}`, nth);
    return nth;
  };
}

function whatOf({ args }: Logged): string {
  return args.replace(/(\) += .*| <unfinished \.\.\.>)$/, '');
}
