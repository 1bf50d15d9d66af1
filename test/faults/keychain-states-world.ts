import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { makePlace, type Place } from '../support/coffer.ts';
import { type Bus, startBus } from '../support/keychain.ts';
import { type Ending, Terminal } from '../support/pty.ts';
import { listItems } from './keychain-states-dbus.ts';
import { filesWith, fingerprint, formsOf, kill, strays } from './keychain-states-scan.ts';

/**
 * A program put through the states: coffer, or one that handles its key wrongly and takes the same
 * arguments.
 */
export interface Program {
  /** The script below the folder of the sources, followed by the first arguments of every run. */
  readonly command: readonly [string, ...string[]];
  /** The first words of all messages that a fresh process can open, or why it can't open any. */
  opened(env: NodeJS.ProcessEnv): Promise<{ texts: readonly string[]; error?: string | undefined }>;
}

/**
 * A program that ran to its end; on a terminal all its output is in `stderr`, and `stdout` is
 * empty.
 */
export interface Ran extends Ending {
  readonly stdout: string;
  readonly stderr: string;
}

/** Options that differ from the default run. */
export interface RunOptions {
  readonly input?: string;
  /** Another script than the program's. */
  readonly script?: string;
  /** Another data directory than the vault's. */
  readonly data?: string;
  /** An injection in strace's syntax: `link,linkat:signal=KILL:when=1`. */
  readonly inject?: string;
  /** Milliseconds after which the program counts as hanging. */
  readonly patience?: number;
}

export const REPOSITORY: string = join(import.meta.dirname, '..', '..');

/** At least twice as long as anything here takes on a slow machine, in milliseconds. */
const PATIENCE = 40_000;

/**
 * Programs that a wrong implementation might ask for the key, or be started by, if it searched
 * PATH.
 */
const TRAPPED: readonly string[] = ['security', 'secret-tool', 'keyctl', 'node', 'powershell', 'powershell.exe'];

/**
 * A machine with a real keychain, a vault whose key is in it, and a program that uses both. strace
 * watches every run for the processes it starts, with their arguments and environment. PATH begins
 * with programs that return a key of their own and leave a note that they were called.
 */
export class World implements AsyncDisposable {
  readonly bus: Bus;
  readonly place: Place;
  readonly program: Program;
  /** The keychain that the program meets instead of that of the bus, if any. */
  met: Bus | undefined;
  /** Changes of the state to the environment; undefined removes a variable. */
  changes: Record<string, string | undefined> = {};
  /** The folder of the program: the repository, or a copy of it. */
  sources: string = REPOSITORY;
  /** First words of messages that were reported as saved. */
  readonly acknowledged: Set<string> = new Set();
  /** The text of every item that was ever seen in the keychain. */
  readonly secrets: Set<string> = new Set();
  readonly #owned: AsyncDisposable[] = [];
  readonly #said: { readonly where: string; readonly text: string }[] = [];
  #runs = 0;
  /** Number of programs that all runs started, themselves included. */
  started = 0;

  /** The process that keeps the secrets on the bus. */
  keyring: ChildProcess;

  private constructor(bus: Bus, keyring: ChildProcess, place: Place, program: Program) {
    this.bus = bus;
    this.keyring = keyring;
    this.place = place;
    this.program = program;
  }

  /** Makes one, with an empty vault and keychain. */
  static async make(program: Program): Promise<World> {
    const bus = await startBus();
    const world = new World(bus, await bus.startKeyring(), await makePlace(), program);
    await mkdir(world.#traps);
    const note = `#!/bin/sh\necho "$0 $*" >> '${world.#trapNotes}'\necho '${Buffer.alloc(32, 9).toString('base64')}'\n`;
    for (const name of TRAPPED) {
      await writeFile(join(world.#traps, name), note);
      await chmod(join(world.#traps, name), 0o755);
    }
    return world;
  }

  /** The whole environment of the program. */
  get env(): Record<string, string> {
    const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR } = this.bus.env;
    const path = [this.#traps, this.place.env['PATH']].join(delimiter);
    const keychain = { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined };
    const merged = Object.entries({ ...this.place.env, ...keychain, PATH: path, ...this.changes });
    return Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== undefined));
  }

  get #traps(): string {
    return join(this.place.root, 'traps');
  }

  get #trapNotes(): string {
    return join(this.place.root, 'trapped');
  }

  /** Ends the keychain, and removes it from the bus. */
  async endKeyring(): Promise<void> {
    const ended = once(this.keyring, 'exit');
    this.keyring.kill('SIGKILL');
    await ended;
  }

  /** Starts it again, with all its items. */
  async startKeyring(): Promise<void> {
    this.keyring = await this.bus.startKeyring();
  }

  /**
   * Hands a resource to the world, which disposes of its resources at its end, the last one first.
   */
  owns<T extends AsyncDisposable>(resource: T): T {
    this.#owned.push(resource);
    return resource;
  }

  /**
   * Runs the program to its end on pipes, and every process it started to theirs. A null code and
   * SIGKILL mean that it hung.
   */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const { trace, command } = this.#command(args, options);
    const child = spawn(command[0]!, command.slice(1), {
      cwd: this.place.project,
      env: this.#envFor(options),
      stdio: 'pipe',
    });
    const ended = new Promise<Ending>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    const timer = setTimeout(() => this.#killAll(child.pid!), options.patience ?? PATIENCE);
    child.stdin.on('error', () => undefined); // it may end without reading all its input
    child.stdin.end(options.input ?? '');
    const [stdout, stderr, ending] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    clearTimeout(timer);
    await this.#note(trace, args, stdout, stderr);
    return { ...ending, stdout, stderr };
  }

  /**
   * Like `run`, but on a terminal, where `talk` does what a user does; the caller gets its failure.
   */
  async runOnTerminal(
    args: readonly string[],
    talk: (terminal: Terminal, program: () => Promise<number>) => Promise<void>,
    options: RunOptions = {},
  ): Promise<Ran> {
    const { trace, command } = this.#command(args, options);
    await using terminal = new Terminal(command[0]!, command.slice(1), {
      cwd: this.place.project,
      env: this.#envFor(options),
    });
    const timer = setTimeout(() => this.#killAll(terminal.pid), options.patience ?? PATIENCE);
    try {
      await talk(terminal, () => childOf(terminal.pid));
      const ending = await terminal.exit;
      await this.#note(trace, args, '', terminal.screen());
      return { ...ending, stdout: '', stderr: terminal.screen() };
    } finally {
      clearTimeout(timer);
      if (!terminal.ending) this.#killAll(terminal.pid);
    }
  }

  /**
   * Lists our items in a keychain, as `account=text`; their texts count as secrets from then on.
   */
  async items(bus: Bus = this.bus): Promise<string[]> {
    const items = await listItems(bus);
    for (const item of items) this.secrets.add(item.slice(item.indexOf('=') + 1).trim());
    return items;
  }

  /** Returns the key that vault.json names; undefined if there is none. */
  async keyId(data: string = this.place.data): Promise<string | undefined> {
    const json = await readFile(join(data, 'vault.json'), 'utf8').catch(() => undefined); // none yet: that is the answer
    return json === undefined ? undefined : JSON.parse(json).key;
  }

  /** Describes every file of the vault, with everything that shows whether it was touched. */
  untouched(): string {
    return fingerprint(this.place.data);
  }

  /** Returns the calls that reached a program on PATH. */
  async trapped(): Promise<string[]> {
    const notes = await readFile(this.#trapNotes, 'utf8').catch(() => ''); // none was called
    return notes.split('\n').filter((line) => line !== '');
  }

  /**
   * Returns the places where others can see a secret of the keychain: command lines, environments,
   * output, files.
   */
  async leaks(): Promise<string[]> {
    const leaks: string[] = [];
    const forms = [...this.secrets].filter((secret) => secret.length > 16).flatMap(formsOf);
    for (const { where, text } of this.#said) {
      if (forms.some((form) => text.includes(form))) leaks.push(where);
    }
    return [...leaks, ...filesWith([this.place.root, this.bus.directory], forms)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of strays(this.place.root)) kill(pid);
    for (const owned of this.#owned.reverse()) await owned[Symbol.asyncDispose]();
    await this.place[Symbol.asyncDispose]();
    await this.bus[Symbol.asyncDispose]();
  }

  #envFor({ data }: RunOptions): Record<string, string> {
    return data === undefined ? this.env : { ...this.env, COFFER_DATA_DIR: data };
  }

  /** strace ends when the last process that it follows has ended. */
  #command(args: readonly string[], { script, inject }: RunOptions): { trace: string; command: readonly string[] } {
    const trace = join(this.bus.directory, `trace-${++this.#runs}`);
    const watch = ['-f', '-qq', '-v', '-s', '65536', '-e', 'signal=none', '-o', trace];
    // The quick mode, which stops a program at no other calls, injects no signals.
    const calls =
      inject === undefined
        ? ['--seccomp-bpf', '-e', 'trace=execve,execveat']
        : ['-e', `trace=execve,execveat,${inject.split(':')[0]}`, '-e', `inject=${inject}`];
    const [own, ...before] = script === undefined ? this.program.command : [script];
    const program = [process.execPath, join(this.sources, own), ...before, ...args];
    return { trace, command: ['strace', ...watch, ...calls, ...program] };
  }

  /** Kills a hanging run: strace, and every process it followed. */
  #killAll(strace: number): void {
    kill(strace);
    for (const pid of strays(this.place.root)) kill(pid);
  }

  async #note(trace: string, args: readonly string[], stdout: string, stderr: string): Promise<void> {
    const run = `run ${this.#runs} (${args.join(' ')})`;
    const traced = await readFile(trace, 'utf8');
    this.started += traced.split('\n').filter((line) => / execve(at)?\(.* = 0$/.test(line)).length;
    this.#said.push({ where: `the command lines and environments of ${run}`, text: traced });
    this.#said.push({ where: `the output of ${run}`, text: stdout + stderr });
  }
}

/** Returns the names of the sealed files of a vault. */
export async function sealedFiles(data: string): Promise<string[]> {
  const names = await readdir(join(data, 'sessions')).catch(() => []); // no folder, no files
  return names.filter((name) => /^[0-9a-f]{32}$/.test(name)).sort();
}

/** Returns the program that strace runs. */
async function childOf(strace: number): Promise<number> {
  return Number.parseInt(await readFile(`/proc/${strace}/task/${strace}/children`, 'utf8'), 10);
}
