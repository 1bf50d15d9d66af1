import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';

/*
 * Asks a question of a fresh process: work that leaves a hundred megabytes in memory must not be
 * measured twice in the same one. Questions carry keys, so they go through the channel between the
 * processes, never through a command line.
 */

/**
 * Starts `script`, sends it the question, and returns its answer once it has ended. Rejects if it
 * fails or doesn't answer.
 */
export function ask<Answer>(script: string, question: object, flags: readonly string[] = []): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let answer: { readonly of: Answer } | undefined;
    const child = fork(script, {
      execArgv: [...process.execArgv, ...flags],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child.once('message', (message) => {
      answer = { of: message as Answer };
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0 && answer) resolve(answer.of);
      else reject(new Error(`${script} ended with ${code ?? signal} and ${answer ? 'an' : 'no'} answer`));
    });
    child.send(question);
  });
}

/** Answers the one question that this process was started for. */
export function answer<Question, Answer>(work: (question: Question) => Promise<Answer>): void {
  process.once('message', (question) => {
    work(question as Question).then(
      (answered) => process.send?.(answered, () => process.disconnect()),
      (error: unknown) => {
        process.disconnect();
        throw error;
      },
    );
  });
}

/**
 * Returns the peak resident memory of this process, in bytes. On Linux, `ru_maxrss` includes the
 * parent's memory at the time of the fork, so the process's own high-water mark is read instead.
 */
export function peakMemory(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}
