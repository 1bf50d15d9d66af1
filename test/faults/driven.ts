import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** A request to a driver: one line of JSON on its stdin. */
export interface Asked {
  readonly do:
    | 'wake'
    | 'broker'
    | 'vault'
    | 'open'
    | 'begin'
    | 'step'
    | 'record'
    | 'snapshot'
    | 'finalSave'
    | 'resume'
    | 'close'
    | 'rotate'
    | 'addSlot'
    | 'removeSlot'
    | 'list'
    | 'search'
    | 'remove'
    | 'redact'
    | 'overtake';
  /**
   * The step's text (one word, which `check` returns), a snapshot's name, the session to resume, a
   * passphrase or a slot, the words to search for, the text to redact.
   */
  readonly text?: string;
  /** The file of the session to remove or to redact. */
  readonly fileId?: string;
  /** Pads a step to this many bytes that do not compress. */
  readonly size?: number;
  /**
   * Makes a step of two messages: the text, and a reply that begins with `<text>-reply`. A step
   * must be stored wholly or not at all.
   */
  readonly reply?: boolean;
}

/** The driver's answer; undefined if it ended before it could answer. */
export interface Answer {
  readonly ok: boolean;
  readonly error?: { readonly code?: string; readonly message: string; readonly stack?: string };
  readonly fileId?: string;
  readonly id?: string;
  /** Of the broker that was started. */
  readonly pid?: number;
  readonly lost?: string;
  readonly unsaved?: { readonly code: string; readonly message: string };
  /** Why the marks against rollback could not be written, if everything else was saved. */
  readonly unmarked?: string;
  /** Why the vault's key could not be added to the known vaults, if everything else was saved. */
  readonly unknown?: string;
  /** When it started and finished the request, by `clock`. */
  readonly began: number;
  readonly done: number;
}

/** One sealed file as a fresh process finds it; `texts` are the first words of its messages. */
export interface FoundFile {
  readonly fileId: string;
  readonly label: string;
  readonly kind: string;
  readonly torn?: string | undefined;
  error?: string | undefined;
  texts: readonly string[];
  /** The replies that are marked as cut short. */
  partial?: readonly string[];
}

/** The content of a vault as a fresh process finds it. */
export interface Found {
  key?: string | undefined;
  readonly files: FoundFile[];
  wentOn?: string | undefined;
  error?: { readonly code: string; readonly message: string };
}

/** A process that drives the vault and is the target of the faults. */
export class Driver implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    child.stdin?.on('error', () => undefined); // it was killed before it could read: `ask` answers undefined then
  }

  /**
   * Starts one. `env` is its whole environment apart from PATH; `wrap` a program that runs it, such
   * as `prlimit --nofile=20`; `script` another driver.
   */
  static async start(
    env: NodeJS.ProcessEnv,
    options: { wrap?: readonly string[]; script?: string } = {},
  ): Promise<Driver> {
    const { wrap = [], script = 'driver.ts' } = options;
    const command = [...wrap, process.execPath, join(import.meta.dirname, script)];
    const child = spawn(command[0]!, command.slice(1), {
      env: environmentOf(env),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const driver = new Driver(child);
    await driver.#answer();
    return driver;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /**
   * Sends one request, and resolves with its answer; undefined if the process ended without one.
   */
  async ask(asked: Asked): Promise<Answer | undefined> {
    this.child.stdin?.write(`${JSON.stringify(asked)}\n`);
    return this.#answer();
  }

  /** Ends it as a crash does, if it has not ended. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #answer(): Promise<Answer | undefined> {
    const { value, done } = await this.#lines.next();
    return done === true ? undefined : (JSON.parse(value) as Answer);
  }
}

/** The known vaults are next to the vault, on the same disk, so that they are restored with it. */
function environmentOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { COFFER_DATA_DIR: data } = env;
  return { PATH: process.env['PATH'], ...(data && { COFFER_CONFIG_DIR: `${data}-config` }), ...env };
}

/**
 * Checks a vault in a fresh process. With `goOn` it also resumes, saves a step and closes, with
 * `anew` it begins another session.
 */
export async function check(env: NodeJS.ProcessEnv, options: { goOn?: boolean; anew?: boolean } = {}): Promise<Found> {
  const args = [
    join(import.meta.dirname, 'check.ts'),
    ...(options.goOn ? ['go-on'] : []),
    ...(options.anew ? ['anew'] : []),
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    env: environmentOf(env),
    maxBuffer: 2 ** 28,
  });
  return JSON.parse(stdout) as Found;
}
