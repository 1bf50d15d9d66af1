import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome, Request, Verb } from './child.ts';
import { Child, temporaryFolder } from './facilities.ts';

/** One system call. `began` and `ended` are line numbers of the trace, for ordering. */
export interface Call {
  readonly name: string;
  readonly args: string;
  readonly result: string;
  readonly began: number;
  readonly ended: number;
}

/** The system calls of a traced child and its outcome, which is undefined if it was killed. */
export interface Trace {
  readonly calls: readonly Call[];
  readonly outcome: Outcome | undefined;
}

const TRACED =
  'openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,fchmod,close';

/**
 * Runs a verb of child.ts under strace from its start; `injections` are strace's, such as
 * `fsync:error=EIO`.
 */
export async function traced(verb: Verb, request: Request, injections: readonly string[] = []): Promise<Trace> {
  const log = join(temporaryFolder(), 'trace');
  await using child = new Child(verb, { ...request, wait: true });
  await child.line();
  const inject = injections.flatMap((injection) => ['-e', `inject=${injection}`]);
  const args = ['-f', '-y', '-o', log, '-p', `${child.pid}`, '-e', `trace=${TRACED}`, ...inject];
  const strace = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(strace, 'close');
  // strace prints "Process 1234 attached" on standard error; nothing is traced before that.
  await once(strace.stderr, 'data');
  child.send('go');
  const line = await child.line();
  await child.ended();
  await ended;
  return { calls: parse(readFileSync(log, 'utf8')), outcome: line === undefined ? undefined : JSON.parse(line) };
}

/**
 * Parses the output of `strace -f`; a call interrupted by another thread is split over two lines.
 */
function parse(log: string): Call[] {
  const calls: Call[] = [];
  const unfinished = new Map<string, { name: string; args: string; began: number }>();
  for (const [number, line] of log.split('\n').entries()) {
    const whole = /^(\d+) +(\w+)\((.*)\) += (.*)$/.exec(line);
    const start = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/.exec(line);
    const end = /^(\d+) +<\.\.\. \w+ resumed>(.*)\) += (.*)$/.exec(line);
    if (whole) {
      calls.push({ name: whole[2]!, args: whole[3]!, result: whole[4]!, began: number, ended: number });
    } else if (start) {
      unfinished.set(start[1]!, { name: start[2]!, args: start[3]!, began: number });
    } else if (end && unfinished.has(end[1]!)) {
      const { name, args, began } = unfinished.get(end[1]!)!;
      calls.push({ name, args: args + end[2]!, result: end[3]!, began, ended: number });
    }
  }
  return calls.toSorted((a, b) => a.began - b.began);
}
