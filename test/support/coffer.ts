import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Bus } from './keychain.ts';
import { HANGS } from './patience.ts';
import { COMPILED, PROGRAM } from './program.ts';
import { type Ending, Terminal } from './pty.ts';

const repository = join(import.meta.dirname, '..', '..');

/** The result of a program that ran to its end. */
export interface Result extends Ending {
  stdout: string;
  stderr: string;
}

/** The fields of `coffer export --format json` that tests read. */
export interface Exported {
  id: string;
  uuid: string;
  model: string;
  events: {
    type: string;
    partial?: true;
    model?: string;
    message?: { role: string; content: string };
    status?: string;
  }[];
}

/** The fields of a row of `coffer sessions --json` that tests read. */
export interface Listed {
  number: number;
  fileId: string;
  label: string;
  id: string;
  name?: string;
  kind: string;
  messages: number;
  model: string;
  directory: string;
}

/** Options of a start of coffer. */
export interface Start {
  /** Added to the place's environment; undefined removes a variable. */
  env?: Record<string, string | undefined>;
  /** All of standard input. Default: empty. */
  input?: string | Buffer;
  /** The working directory. Default: the place's project. */
  cwd?: string;
  /** Milliseconds after which the run counts as hanging and is killed. Default: {@link HANGS}. */
  patience?: number;
  /** The umask to run under, as a shell writes it. */
  umask?: string;
  /** A shell command to run first, in the working directory. */
  before?: string;
  /** Called with all standard output so far, whenever more arrives. */
  onOutput?: (text: string, child: ChildProcess) => void;
  /** A folder of sources to run instead of the place's program, such as a changed copy. */
  sources?: string;
}

/** Options of {@link makePlace}. */
export interface Furniture {
  /** The content of settings.json. Default: no settings file. */
  settings?: object;
  /** The data directory, such as one on a separate disk. Default: a folder of the place. */
  data?: string;
  /** The program to run, such as that of an installed coffer. Default: {@link PROGRAM}. */
  program?: string;
}

/**
 * A machine to run coffer on, as far as coffer can tell: separate folders for everything, and a
 * vault key that arrives through descriptor 3, so that no keychain is needed. Removed when
 * disposed, along with every process that still runs.
 */
export class Place implements AsyncDisposable {
  readonly root: string;
  readonly data: string;
  readonly config: string;
  readonly home: string;
  readonly temp: string;
  /** The working directory of coffer. */
  readonly project: string;
  /** Holds the key as a credential; the only folder here with a secret in plaintext. */
  readonly credentials: string;
  readonly key: Buffer;
  readonly #running: Set<ChildProcess | Terminal> = new Set();
  readonly #program: string | undefined;

  /** Use {@link makePlace}. */
  constructor(root: string, { data, program }: Furniture) {
    this.root = root;
    this.data = data ?? join(root, 'data');
    this.#program = program;
    this.config = join(root, 'config');
    this.home = join(root, 'home');
    this.temp = join(root, 'temp');
    this.project = join(root, 'project');
    this.credentials = join(root, 'credentials');
    this.key = randomBytes(32);
  }

  /** The complete environment coffer runs in. */
  get env(): Record<string, string> {
    return {
      PATH: [join(repository, 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter),
      HOME: this.home,
      TMPDIR: this.temp,
      LANG: 'C.UTF-8',
      COFFER_DATA_DIR: this.data,
      COFFER_CONFIG_DIR: this.config,
      COFFER_KEYCHAIN: 'fd',
      COFFER_KEY_FD: '3',
    };
  }

  /** The environment in which the library, in this process, opens the same vault. */
  get libraryEnv(): Record<string, string> {
    const { home, config, credentials } = this;
    return { HOME: home, COFFER_CONFIG_DIR: config, COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: credentials };
  }

  /** Runs coffer to its end without a terminal. Rejects if it hangs. */
  async run(args: readonly string[], start: Start = {}): Promise<Result> {
    const first = [start.umask && `umask ${start.umask}`, start.before].filter(Boolean).map((one) => `${one}; `);
    const shell = first.length === 0 ? [] : ['sh', '-c', `${first.join('')}exec "$@"`, 'sh'];
    const [file = '', ...rest] = [...shell, process.execPath, this.#file(start), ...args];
    const child = spawn(file, rest, {
      cwd: start.cwd ?? this.project,
      env: merge(this.env, start.env),
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    this.#running.add(child);
    const ended = new Promise<Ending>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    const timer = setTimeout(() => child.kill('SIGKILL'), start.patience ?? HANGS);
    feed(child.stdio[3] as Writable, this.key);
    feed(child.stdin, start.input ?? '');
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      stdout += more;
      start.onOutput?.(stdout, child);
    });
    const [stderr, ending] = await Promise.all([text(child.stderr), ended]);
    clearTimeout(timer);
    this.#running.delete(child);
    if (ending.signal === 'SIGKILL') throw new Error(`coffer ${args.join(' ')} hangs; so far:\n${stdout}\n${stderr}`);
    return { ...ending, stdout, stderr };
  }

  /** Starts coffer on a new terminal. */
  terminal(args: readonly string[] = [], start: Start = {}): Terminal {
    // A terminal passes only descriptors 0 to 2: the shell opens the third and becomes the program.
    const command = ['-c', 'exec 3<"$0"; exec "$@"', join(this.credentials, 'coffer-key')];
    // Node passes this to children automatically, the terminal doesn't.
    const coverage = process.env['NODE_V8_COVERAGE'];
    const terminal = new Terminal('/bin/sh', [...command, process.execPath, this.#file(start), ...args], {
      cwd: start.cwd ?? this.project,
      env: merge({ ...this.env, ...(coverage && { NODE_V8_COVERAGE: coverage }) }, start.env),
    });
    this.#running.add(terminal);
    return terminal;
  }

  /** Returns the sorted names of the session files, without the link. */
  async sessionFiles(): Promise<string[]> {
    const names = await readdir(join(this.data, 'sessions')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names.filter((name) => /^[0-9a-f]{32}$/.test(name)).sort();
  }

  /** Returns the path of a session file. */
  sessionFile(name: string): string {
    return join(this.data, 'sessions', name);
  }

  /** Returns the content of every session file, by name. */
  async sessionBytes(): Promise<Map<string, Buffer>> {
    const names = await this.sessionFiles();
    const rows = names.map(async (name) => [name, await readFile(this.sessionFile(name))] as const);
    return new Map(await Promise.all(rows));
  }

  /** Returns the parsed output of `coffer export --format json`. */
  async exported(which: string, start?: Start): Promise<Exported> {
    const { code, stdout, stderr } = await this.run(['export', which, '--format', 'json'], start);
    if (code !== 0) throw new Error(`export ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Exported;
  }

  /** Returns the parsed output of `coffer sessions --json`. */
  async listed(start?: Start): Promise<Listed[]> {
    const { code, stdout, stderr } = await this.run(['sessions', '--json'], start);
    if (code !== 0) throw new Error(`sessions ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Listed[];
  }

  #file(start: Start): string {
    if (start.sources !== undefined) return join(start.sources, 'src/cli/main.ts');
    return this.#program ?? PROGRAM;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running) {
      if (running instanceof Terminal) await running[Symbol.asyncDispose]();
      else running.kill('SIGKILL');
    }
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Makes a place for one test. */
export async function makePlace(furniture: Furniture = {}): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'coffer-place-'));
  const place = new Place(root, furniture);
  for (const folder of [place.config, place.home, place.temp, place.project, place.credentials]) {
    await mkdir(folder, { mode: 0o700 });
  }
  if (COMPILED !== undefined) cpSync(COMPILED, join(place.home, '.cache/coffer'), { recursive: true });
  await writeFile(join(place.credentials, 'coffer-key'), place.key, { mode: 0o600 });
  const settings = join(place.config, 'settings.json');
  if (furniture.settings) await writeFile(settings, JSON.stringify(furniture.settings), { mode: 0o600 });
  return place;
}

/** Returns how to start coffer with a keychain and no key of its own. */
export function usual(bus: Bus, changes: Record<string, string | undefined> = {}): Start {
  const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR } = bus.env;
  const keychain = { COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined };
  return { env: { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, ...keychain, ...changes } };
}

/**
 * Returns the messages of a session in short: `user: hello`, `assistant: echo: hello`, `assistant
 * (partial): ec`.
 */
export function conversation(exported: Exported): string[] {
  return exported.events.flatMap(({ type, message, partial }) => {
    if (type !== 'message' || !message) return [];
    return [`${message.role}${partial ? ' (partial)' : ''}: ${message.content.trim()}`];
  });
}

function merge(env: Record<string, string>, changes: Start['env'] = {}): Record<string, string> {
  const merged = Object.entries({ ...env, ...changes });
  return Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** Writes everything; a program that ends without reading it all is not an error. */
function feed(pipe: Writable, bytes: string | Buffer): void {
  pipe.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error;
  });
  pipe.end(bytes);
}
