import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { onTestFinished } from 'vitest';
import type { Outcome, Request, Verb } from './child.ts';

/** The part of vitest's test context that the `require…` functions need. */
export interface Skippable {
  skip(note?: string): never;
}

/** Creates an empty folder that is removed when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-files-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Skips the running test, with a reason, if files have no POSIX owner, mode and links. */
export function requirePosix(context: Skippable): void {
  if (process.platform === 'win32') context.skip('modes and links are different on Windows');
}

/** Skips the running test if strace can't trace; fails it instead if COFFER_TEST_REQUIRE is set. */
export function requireStrace(context: Skippable): void {
  if (process.platform !== 'linux') context.skip('strace exists on Linux only');
  if (spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0) return;
  const note = 'strace is missing or may not trace; install with: apt-get install -y strace';
  if (process.env['COFFER_TEST_REQUIRE']) throw new Error(note);
  context.skip(note);
}

/**
 * Mounts a file system of `size` (such as `1m`), unmounted when the test is over. Skips the test if
 * mounting is not allowed.
 */
export function smallDisk(context: Skippable, size: string): { path: string; remount(option: 'ro' | 'rw'): void } {
  if (process.platform !== 'linux') context.skip('tmpfs exists on Linux only');
  const path = join(temporaryFolder(), 'disk');
  mkdirSync(path);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { encoding: 'utf8' });
  if (mounted.status !== 0) {
    context.skip(`a small disk needs root and the right to mount; run with: sudo env "PATH=$PATH" npm test`);
  }
  onTestFinished(() => void execFileSync('umount', ['-l', path]));
  return { path, remount: (option) => void execFileSync('mount', ['-o', `remount,${option}`, path]) };
}

/** Returns a launcher for {@link Child} under a limit of the shell, such as `-n 24`. */
export function withLimit(limit: string): string[] {
  return ['sh', '-c', `ulimit ${limit}; exec "$@"`, 'sh'];
}

/** Runs a verb of child.ts in a separate process until it exits. */
export async function inChild(verb: Verb, request: Request, launcher: readonly string[] = []): Promise<Outcome> {
  await using child = new Child(verb, request, launcher);
  return await child.outcome();
}

/** A running child.ts, killed when disposed of. */
export class Child implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #lines: Interface;
  readonly #iterator: AsyncIterator<string>;
  #stderr = '';

  /** `launcher` precedes node's command line, see {@link withLimit}. */
  constructor(verb: Verb, request: Request, launcher: readonly string[] = []) {
    const script = join(import.meta.dirname, 'child.ts');
    const [command = '', ...args] = [...launcher, process.execPath, script, verb, JSON.stringify(request)];
    // One thread in the pool, so that the order of system calls is always the same. No coverage
    // report at the end, which would add more of them.
    const env = { ...process.env, UV_THREADPOOL_SIZE: '1', NODE_V8_COVERAGE: undefined };
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#lines = createInterface({ input: this.process.stdout! });
    this.#iterator = this.#lines[Symbol.asyncIterator]();
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** The standard error output so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Returns the next line of its output; undefined at the end. */
  async line(): Promise<string | undefined> {
    const next = await this.#iterator.next();
    return next.done ? undefined : next.value;
  }

  /** Returns the outcome that it prints at the end. Throws if it printed nothing. */
  async outcome(): Promise<Outcome> {
    const line = await this.line();
    await this.ended();
    if (line === undefined) throw new Error(`the child printed nothing; ${this.#stderr}`);
    return JSON.parse(line);
  }

  send(text: string): void {
    this.process.stdin!.write(`${text}\n`);
  }

  async ended(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, 'exit');
  }

  /** Kills it with a signal and waits until it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.process.kill(signal);
    await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#lines.close();
  }
}
