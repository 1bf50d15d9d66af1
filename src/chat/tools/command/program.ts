import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Launch } from './launch.ts';

/** The outcome of a program, and its output. */
export interface Ended {
  readonly how: 'exited' | 'signalled' | 'timeout' | 'flooded' | 'cancelled' | 'failed';
  readonly output: Buffer;
  readonly status?: number;
  readonly signal?: string;
  /** Why it could not be started. */
  readonly fault?: string;
}

/** Time between SIGTERM and SIGKILL for a process group, in milliseconds. */
const GRACE = 2000;

/**
 * Runs a program in a session and process group of its own, with /dev/null as its input, and
 * returns its output. It is killed after `limit` milliseconds, after `most` bytes of output, and
 * when `signal` is aborted. When this resolves, nothing of the group is running, however the
 * program ended: processes it left behind get SIGTERM, and SIGKILL after a moment. A sandbox
 * reports on descriptor 4.
 */
export async function runProgram(
  launch: Launch,
  { limit, most }: { limit: number; most: number },
  signal: AbortSignal,
): Promise<Ended> {
  const { file, args, directory: cwd, env } = launch;
  const inform = launch.sandboxed ? (['pipe', 'pipe'] as const) : [];
  const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...inform] });
  const info = new Output(4096, () => undefined);
  (child.stdio[4] as Readable | undefined)?.on('data', (bytes: Buffer) => info.add(bytes));
  if (launch.filter) sendFilter(child, launch.filter);
  const stopped = Promise.withResolvers<'timeout' | 'flooded' | 'cancelled'>();
  const output = new Output(most, () => stopped.resolve('flooded'));
  const errors = new Output(4096, () => undefined);
  (child.stdout as Readable).on('data', (bytes: Buffer) => output.add(bytes));
  (child.stderr as Readable).on('data', (bytes: Buffer) => errors.add(bytes));
  const exited = new Promise<'exited'>((resolve) => child.once('exit', () => resolve('exited')));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const fault = new Promise<Error>((resolve) => child.once('error', resolve));
  const timer = setTimeout(() => stopped.resolve('timeout'), limit);
  const cancel = (): void => stopped.resolve('cancelled');
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    const how = await Promise.race([fault, exited, stopped.promise]);
    if (how instanceof Error) return { how: 'failed', output: Buffer.alloc(0), fault: how.message };
    await endGroup(child, launch);
    await exited;
    await waitUntilEmpty(info.bytes.toString());
    child.stdio[3]?.destroy();
    // A process that has left the group may hold the other pipes open indefinitely.
    await Promise.race([closed, sleep(GRACE, undefined, { ref: false })]);
    if (how !== 'exited') return { how, output: output.bytes };
    if (output.isFull) return { how: 'flooded', output: output.bytes };
    return { ...endingOf(child, launch, errors.bytes.toString()), output: output.bytes };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
    for (const stream of child.stdio) stream?.destroy();
  }
}

/**
 * Writes the filter that bubblewrap reads on descriptor 5. If bubblewrap ends without reading it,
 * the reason is reported elsewhere.
 */
export function sendFilter(child: ChildProcess, filter: Buffer): void {
  const pipe = (child.stdio as readonly unknown[])[5] as Writable;
  pipe.on('error', () => undefined);
  pipe.end(filter);
}

/** The output of a program, up to a limit. */
class Output {
  readonly #most: number;
  readonly #full: () => void;
  readonly #parts: Buffer[] = [];
  #size = 0;
  isFull = false;

  constructor(most: number, full: () => void) {
    this.#most = most;
    this.#full = full;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  add(bytes: Buffer): void {
    const kept = bytes.subarray(0, this.#most - this.#size);
    this.#size += kept.length;
    if (kept.length > 0) this.#parts.push(kept);
    if (kept.length === bytes.length) return;
    this.isFull = true;
    this.#full();
  }
}

/**
 * Terminates the process group of `child` with SIGTERM, then SIGKILL. Without a sandbox the watcher
 * survives SIGTERM, so one living process may be left. Everything in a sandbox ends with it anyway.
 */
async function endGroup(child: ChildProcess, { sandboxed }: Launch): Promise<void> {
  const group = child.pid as number;
  signalGroup(group, 'SIGTERM');
  const late = performance.now() + GRACE;
  while (performance.now() < late && (isRunning(child) || (!sandboxed && living(group) > 1))) await sleep(10);
  signalGroup(group, 'SIGKILL');
  while (performance.now() < late + GRACE && living(group) > 0) await sleep(1);
}

/**
 * Waits until nothing is left in a sandbox. bubblewrap ends with the command, and processes left
 * behind end a moment later: the kernel kills them before the sandbox's first process, whose id
 * bubblewrap reports, counts as dead.
 */
async function waitUntilEmpty(info: string): Promise<void> {
  const [, first] = /"child-pid": (\d+)/.exec(info) ?? [];
  const late = performance.now() + GRACE;
  while (first !== undefined && isLiving(first) && performance.now() < late) await sleep(1);
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    // The group is empty, or contains only processes of another user, which we can't signal.
    if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/**
 * Returns how many processes of a group are running, not counting zombies; 0 if the system doesn't
 * tell.
 */
function living(group: number): number {
  if (process.platform !== 'linux') return 0;
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isLiving(name, group)).length;
}

function isLiving(pid: string, group?: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, , own] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (group === undefined || Number(own) === group) && state !== 'Z' && state !== 'X';
  } catch {
    // It has ended since it was listed.
    return false;
  }
}

/**
 * The command's own errors are in its output. Anything on the other pipe comes from the sandbox,
 * which then ran nothing.
 */
function endingOf({ exitCode, signalCode }: ChildProcess, launch: Launch, errors: string): Omit<Ended, 'output'> {
  if (signalCode !== null) return { how: 'signalled', signal: signalCode };
  if (launch.sandboxed && exitCode !== 0 && errors !== '') {
    return { how: 'failed', fault: `the sandbox could not be created: ${errors.trim()}` };
  }
  return { how: 'exited', status: exitCode ?? 0 };
}
