import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The outcome of a watched process. */
export interface Watched {
  /**
   * Each address something was sent or connected to, once, in order: `127.0.0.1:8080`, `[::1]:53`,
   * or the path of a local socket. A name look-up shows as its resolver's port 53.
   */
  reached: string[];
  stdout: string;
  stderr: string;
  code: number | null;
}

/** The part of vitest's test context that {@link requireStrace} needs. */
export interface Skippable {
  skip(note?: string): never;
}

/**
 * Skips the running test if strace is missing or may not trace, saying how to install it; fails it
 * instead if COFFER_TEST_REQUIRE is set. Only Linux has strace.
 */
export function requireStrace(context: Skippable): void {
  if (process.platform !== 'linux') context.skip('strace is a thing of Linux');
  if (spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0) return;
  const note = 'strace missing, or not allowed to trace; install with: apt-get install -y strace';
  if (process.env['COFFER_TEST_REQUIRE']) throw new Error(note);
  context.skip(note);
}

/**
 * Runs a program to its end under strace, with its children and threads, and returns the addresses
 * it reached. `env` is added to the environment; `input` is its standard input.
 */
export async function watchSockets(
  command: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
): Promise<Watched> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-sockets-'));
  try {
    const trace = join(folder, 'trace');
    const calls = 'trace=connect,sendto,sendmsg,sendmmsg';
    const child = spawn('strace', ['-f', '-qq', '-s', '0', '-o', trace, '-e', calls, '--', ...command], {
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.end(options.input ?? '');
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('close', resolve);
    });
    return { reached: addressesIn(await readFile(trace, 'utf8')), stdout, stderr, code };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function addressesIn(trace: string): string[] {
  const found = new Set<string>();
  for (const line of trace.split('\n')) {
    const port = /sin6?_port=htons\((\d+)\)/.exec(line)?.[1];
    const v4 = /inet_addr\("([^"]+)"\)/.exec(line)?.[1];
    const v6 = /inet_pton\(AF_INET6, "([^"]+)"/.exec(line)?.[1];
    const path = /sun_path=@?"([^"]+)"/.exec(line)?.[1];
    if (v4 !== undefined) found.add(`${v4}:${port}`);
    else if (v6 !== undefined) found.add(`[${v6}]:${port}`);
    else if (path !== undefined) found.add(path);
  }
  return [...found];
}
