import { spawn } from 'node:child_process';

/** A program of the system, and how long it may take. Its input goes through a pipe: what is in `args` can be seen by others. */
export interface ToolCall {
  /** An absolute path: what PATH would find may be somebody else's. */
  readonly executable: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly input: string;
  /** How long it may take; Infinity waits for ever. */
  readonly milliseconds: number;
}

/** What came of it: what the program said, or why it could not be asked. */
export type ToolReply =
  | { readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly missing: string }
  | { readonly late: true };

/** The longest time a timer can run, in milliseconds. A longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** More than this is not an answer to us. */
const OUTPUT_LIMIT = 64 * 1024;

/** Runs a program with its input on stdin; kills it at the deadline. Never rejects. */
export function runTool(call: ToolCall): Promise<ToolReply> {
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
    // A program that ends without reading its input tells why by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(call.input);
  });
}
