import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { commandLine } from '../../src/cli/commands.ts';
import { exits } from '../../src/cli/main.ts';
import { run } from '../../src/cli/program.ts';
import type { CofferError } from '../../src/errors.ts';
import { Terminal } from '../../src/terminal/output/terminal.ts';

/** Timeout of `waitFor`, in milliseconds. It fails with everything shown so far. */
const PATIENCE = 10_000;

/**
 * Creates a folder for one test, with a vault key as a credential, and an environment that uses
 * only it.
 */
export async function makeFolder(): Promise<{ folder: string; env: Record<string, string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-cli-'));
  await writeFile(join(folder, 'coffer-key'), 'a'.repeat(64), { mode: 0o600 });
  const env = {
    COFFER_DATA_DIR: join(folder, 'vault'),
    COFFER_CONFIG_DIR: folder,
    COFFER_KEYCHAIN: 'fd',
    CREDENTIALS_DIRECTORY: folder,
  };
  return { folder, env };
}

/** Streams in this process that behave like pipes, or like a terminal of 80 columns. */
export class FakeTerminal {
  readonly stdin: PassThrough = new PassThrough();
  readonly stdout: PassThrough = new PassThrough();
  readonly stderr: PassThrough = new PassThrough();
  readonly terminal: Terminal;
  /** Everything written to both outputs, in order. */
  shown = '';
  /** Everything written to stdout. */
  out = '';
  /** Everything written to stderr. */
  err = '';
  #seen = 0;

  constructor(options: { tty?: boolean; env?: NodeJS.ProcessEnv } = {}) {
    const streams = [this.stdin, this.stdout, this.stderr];
    if (options.tty === true) for (const stream of streams) Object.assign(stream, ttyParts);
    this.stdout.on('data', (data: Buffer) => {
      this.out += data;
      this.shown += data;
    });
    this.stderr.on('data', (data: Buffer) => {
      this.err += data;
      this.shown += data;
    });
    const [stdin, stdout, stderr] = streams as unknown as [NodeJS.ReadStream, NodeJS.WriteStream, NodeJS.WriteStream];
    this.terminal = new Terminal({ stdin, stdout, stderr }, options.env ?? {});
  }

  /** Writes to stdin. */
  type(text: string): void {
    this.stdin.write(text);
  }

  /** Resolves once the text shown since the last match matches `pattern`. */
  async waitFor(pattern: RegExp): Promise<RegExpMatchArray> {
    const ended = AbortSignal.timeout(PATIENCE);
    for (;;) {
      const rest = stripVTControlCharacters(this.shown.slice(this.#seen));
      const found = pattern.exec(rest);
      if (found !== null) {
        this.#seen = this.shown.length;
        return found;
      }
      if (ended.aborted) throw new Error(`${pattern} was not shown:\n${stripVTControlCharacters(this.shown)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** The result of a command that ran in this process. */
export interface Ended {
  readonly code: number;
  readonly error: CofferError | undefined;
}

/** Runs a command line in this process, on the streams of `fake`. */
export async function runHere(fake: FakeTerminal, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  const exitOf = (error: unknown): number => exits[(error as CofferError).code] ?? 1;
  const leave = (code: number): never => {
    throw new Error(`left with ${code}`);
  };
  try {
    const told = await run(args, { terminal: fake.terminal, env, commandLine, leave, exitOf });
    await fake.terminal.flush();
    return { code: told === undefined ? 0 : exitOf(told), error: told };
  } catch (error) {
    fake.terminal.fail((error as Error).message);
    await fake.terminal.flush();
    return { code: exitOf(error), error: error as CofferError };
  }
}

const ttyParts = { isTTY: true, columns: 80, rows: 24, setRawMode: () => undefined };
