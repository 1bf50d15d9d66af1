import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Bus } from './keychain.ts';
import { HANGS } from './patience.ts';
import { PROGRAM } from './program.ts';
import { type Ending, Terminal } from './pty.ts';

const repository = join(import.meta.dirname, '..', '..');

/** A program that ran to its end. */
export interface Result extends Ending {
  stdout: string;
  stderr: string;
}

/** What `coffer export --format json` prints, as far as tests look at it. */
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

/** A row of `coffer sessions --json`, as far as tests look at it. */
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

/** How to start coffer, where it differs from the usual. */
export interface Start {
  /** Added to the place's environment; undefined takes a variable out. */
  env?: Record<string, string | undefined>;
  /** Standard input, to its end. Without it standard input is empty. */
  input?: string | Buffer;
  /** The working directory; the place's project unless told. */
  cwd?: string;
  /** Ends the run, as hanging, after so many milliseconds. */
  patience?: number;
  /** The umask to run under, as the shell writes it. */
  umask?: string;
  /** A command of the shell that runs before it, in its working directory. */
  before?: string;
  /** Told everything that came on standard output so far, whenever more comes. */
  onOutput?: (text: string, child: ChildProcess) => void;
  /** Runs the sources in this folder, a changed copy say, instead of what the place runs. */
  sources?: string;
}

/** What a place begins with. */
export interface Furniture {
  /** Becomes settings.json. */
  settings?: object;
  /** Put where the data directory would be, for a disk of its own. */
  data?: string;
  /** What is run: the file of an installed coffer, say. Default: {@link PROGRAM}. */
  program?: string;
}

/**
 * A machine to run coffer on, as far as coffer sees it: folders of its own for everything, and a vault key
 * that comes over descriptor 3, so that no keychain is needed. Removed, with whatever still runs, when disposed.
 */
export class Place implements AsyncDisposable {
  readonly root: string;
  readonly data: string;
  readonly config: string;
  readonly home: string;
  readonly temp: string;
  /** Where coffer is started. */
  readonly project: string;
  /** Holds the key as a credential; the one folder here with a secret in the clear. */
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

  /** The environment coffer runs in, all of it. */
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

  /** The environment under which the library in this process opens the same vault. */
  get libraryEnv(): Record<string, string> {
    const { home, config, credentials } = this;
    return { HOME: home, COFFER_CONFIG_DIR: config, COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: credentials };
  }

  /** Runs coffer to its end without a terminal. Rejects where it hangs. */
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
    give(child.stdio[3] as Writable, this.key);
    give(child.stdin, start.input ?? '');
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

  /** Starts coffer on a terminal of its own. */
  terminal(args: readonly string[] = [], start: Start = {}): Terminal {
    // A terminal gives no descriptor but 0 to 2: the shell opens the third and becomes the program.
    const command = ['-c', 'exec 3<"$0"; exec "$@"', join(this.credentials, 'coffer-key')];
    // Node hands this on to children by itself, the terminal does not.
    const coverage = process.env['NODE_V8_COVERAGE'];
    const terminal = new Terminal('/bin/sh', [...command, process.execPath, this.#file(start), ...args], {
      cwd: start.cwd ?? this.project,
      env: merge({ ...this.env, ...(coverage && { NODE_V8_COVERAGE: coverage }) }, start.env),
    });
    this.#running.add(terminal);
    return terminal;
  }

  /** The session files there are, by name, sorted; leaves out the link. */
  async sessionFiles(): Promise<string[]> {
    const names = await readdir(join(this.data, 'sessions')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names.filter((name) => /^[0-9a-f]{32}$/.test(name)).sort();
  }

  /** Where a session file is. */
  sessionFile(name: string): string {
    return join(this.data, 'sessions', name);
  }

  /** Everything in the sessions folder, byte for byte, by name. */
  async sessionBytes(): Promise<Map<string, Buffer>> {
    const names = await this.sessionFiles();
    const rows = names.map(async (name) => [name, await readFile(this.sessionFile(name))] as const);
    return new Map(await Promise.all(rows));
  }

  /** What `coffer export --format json` prints, parsed. */
  async exported(which: string, start?: Start): Promise<Exported> {
    const { code, stdout, stderr } = await this.run(['export', which, '--format', 'json'], start);
    if (code !== 0) throw new Error(`export ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Exported;
  }

  /** What `coffer sessions --json` prints, parsed. */
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

/** The messages of a session in short: `user: hello`, `assistant: echo: hello`, `assistant (partial): ec`. */
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

/** Writes all of it; a program that ends without reading is no fault of the test. */
function give(pipe: Writable, bytes: string | Buffer): void {
  pipe.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error;
  });
  pipe.end(bytes);
}
