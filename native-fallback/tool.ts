import { spawn } from 'node:child_process';

/**
 * A call of a system program. Its input goes through a pipe, because other users can see `args`.
 */
export interface ProgramCall {
  /** An absolute path: PATH might find another user's program. */
  readonly executable: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly input: string;
  /** The deadline, in milliseconds; Infinity waits forever. */
  readonly milliseconds: number;
}

/** The result of a call: the program's output, or why it did not run to its end. */
export type ToolReply =
  | { readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly missing: string }
  | { readonly late: true };

/** The maximum delay of a timer, in milliseconds. A longer one would fire immediately. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The maximum length of the output that is kept. */
const OUTPUT_LIMIT = 64 * 1024;

/** Runs a program with its input on stdin; kills it at the deadline. Never rejects. */
export function runTool(call: ProgramCall): Promise<ToolReply> {
  return new Promise((resolve) => {
    const child = spawn(call.executable, call.args, { env: { ...call.env }, stdio: 'pipe', windowsHide: true });
    let stdout = '';
    let stderr = '';
    const end = (reply: ToolReply): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(reply);
    };
    const timer = setTimeout(() => end({ late: true }), Math.min(call.milliseconds, LONGEST_TIMER));
    const bounded = (text: string): string => (text.length > OUTPUT_LIMIT ? text.slice(0, OUTPUT_LIMIT) : text);
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      stdout = bounded(stdout + part);
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      stderr = bounded(stderr + part);
    });
    child.once('error', (error: NodeJS.ErrnoException) => end({ missing: error.code ?? 'unknown error' }));
    child.once('close', (code) => end({ code: code ?? -1, stdout, stderr }));
    // If the program exits without reading its input, its exit code tells why.
    child.stdin.on('error', () => undefined);
    child.stdin.end(call.input);
  });
}
