import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Bus as Connection } from '../../native-fallback/dbus.ts';
import { HANGS } from './patience.ts';

const run = promisify(execFile);
const PROGRAMS: readonly string[] = ['gnome-keyring-daemon', 'dbus-daemon', 'dbus-monitor', 'dbus-send', 'secret-tool'];
const INSTALL = 'apt-get install -y gnome-keyring libsecret-1-0 libsecret-tools dbus';
const LOGIN_COLLECTION = '/org/freedesktop/secrets/collection/login';

/** The environment of a process that must reach our keychain and no other. */
export interface KeychainEnv {
  DBUS_SESSION_BUS_ADDRESS: string;
  XDG_RUNTIME_DIR: string;
  HOME: string;
}

/** An item as printed by `secret-tool search`. */
export interface Item {
  readonly label: string;
  readonly secret: string | undefined;
  readonly schema: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** The part of vitest's test context that {@link requireKeychain} needs. */
export interface Skippable {
  skip(note?: string): never;
}

/**
 * Skips the running test if no real keychain can be started; the note says how to install what is
 * missing. Throws instead if COFFER_TEST_REQUIRE names `keychain`. Only Linux has a Secret Service.
 */
export function requireKeychain(context: Skippable): void {
  if (process.platform !== 'linux') context.skip('only Linux has the Secret Service');
  const missing = PROGRAMS.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  const note = `${missing.join(', ')} missing; install with: ${INSTALL}`;
  if ((process.env['COFFER_TEST_REQUIRE'] ?? '').split(',').includes('keychain')) throw new Error(note);
  context.skip(note);
}

/**
 * Skips the running test on Windows, which has no unix sockets, executable scripts and file modes.
 */
export function requireUnix(context: Skippable): void {
  if (process.platform === 'win32') context.skip('only on Unix');
}

/** A private session bus in a temp folder, with or without a Secret Service on it. */
export class Bus implements AsyncDisposable {
  readonly directory: string;
  readonly env: KeychainEnv;
  readonly #children: ChildProcess[] = [];
  #keyring: ChildProcess | undefined;
  readonly #emergency = (): void => {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  };

  /** Use {@link startBus} or {@link startKeychain}. */
  constructor(directory: string) {
    this.directory = directory;
    this.env = {
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(directory, 'run', 'bus')}`,
      XDG_RUNTIME_DIR: join(directory, 'run'),
      HOME: join(directory, 'home'),
    };
    process.once('exit', this.#emergency);
  }

  /** The gnome-keyring that was started last. Throws if there is none. */
  get keyring(): ChildProcess {
    if (this.#keyring === undefined) throw new TypeError('no keyring was started on this bus');
    return this.#keyring;
  }

  /** Starts a program on this bus; it ends with the bus at the latest. */
  spawn(program: string, args: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn(program, args, { env: this.#environment(env), stdio: 'pipe' });
    // Discards its messages: a full pipe that no process reads would block it.
    child.stderr?.resume();
    this.#children.push(child);
    return child;
  }

  /** Watches the bus; the inner promise resolves when a method of the owner of `name` is called. */
  async watch(name: string): Promise<{ readonly called: Promise<void> }> {
    const monitor = this.spawn('dbus-monitor', [`type='method_call',destination='${name}'`]);
    await output(monitor, /member=NameLost/);
    const called = output(monitor, new RegExp(`destination=${name.replaceAll('.', '\\.')} `));
    called.catch(() => undefined); // the bus may end before a call
    return { called };
  }

  /** Runs `start` and resolves when a service owns `name` on the bus. */
  async whenOwned(name: string, start: () => void): Promise<void> {
    const match = `type='signal',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${name}'`;
    const monitor = this.spawn('dbus-monitor', [match]);
    // A monitor is notified that it has lost its own name, and sees everything from then on.
    await output(monitor, /member=NameLost/);
    const owned = output(monitor, new RegExp(`"${name.replaceAll('.', '\\.')}"\\s+string ""\\s+string ":`));
    start();
    await owned;
    await stop(monitor);
  }

  /**
   * Starts a gnome-keyring, its login collection unlocked by an empty line as password and made the
   * default. With `isLoggedIn` false, it has only the session collection.
   */
  async startKeyring(options: { isLoggedIn?: boolean } = {}): Promise<ChildProcess> {
    const unlock = (options.isLoggedIn ?? true) ? ['--unlock'] : [];
    await this.whenOwned('org.freedesktop.secrets', () => {
      const daemon = this.spawn('gnome-keyring-daemon', ['--foreground', '--components=secrets', ...unlock]);
      daemon.stdout?.resume();
      daemon.stdin?.end('\n');
      this.#keyring = daemon;
    });
    return this.keyring;
  }

  /**
   * Locks the default collection. A request to unlock gets a prompt that is dismissed at once, as
   * no program shows it.
   */
  async lockCollection(): Promise<void> {
    using bus = await Connection.connect({ ...this.env }, HANGS);
    const service = { destination: 'org.freedesktop.secrets', path: '/org/freedesktop/secrets' };
    await bus.call({ ...service, interface: 'org.freedesktop.Secret.Service' }, 'Lock', 'ao', [LOGIN_COLLECTION]);
  }

  /**
   * Unlocks it again without a prompt, as a login does: by the password, which is an empty line.
   */
  async unlockCollection(): Promise<void> {
    using bus = await Connection.connect({ ...this.env }, HANGS);
    const service = { destination: 'org.freedesktop.secrets', path: '/org/freedesktop/secrets' };
    const open = { ...service, interface: 'org.freedesktop.Secret.Service' };
    const [, session] = await bus.call(open, 'OpenSession', 'sv', 'plain', { signature: 's', value: '' });
    const unlock = { ...service, interface: 'org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface' };
    const password = [session, Buffer.alloc(0), Buffer.from('\n'), 'text/plain'];
    await bus.call(unlock, 'UnlockWithMasterPassword', 'o(oayays)', LOGIN_COLLECTION, password);
  }

  /**
   * Stores a password under keytar's attributes, from another program. The schema is explicit:
   * otherwise gnome-keyring 42.1 sometimes stores none, and keytar then doesn't find the item.
   */
  async storeItem(account: string, secret: string, service = 'coffer'): Promise<void> {
    const attributes = ['service', service, 'account', account, 'xdg:schema', 'org.freedesktop.Secret.Generic'];
    await this.#secretTool(['store', `--label=${service}/${account}`, ...attributes], secret);
  }

  /** Deletes every item of a service, or of one of its accounts. */
  async deleteItem(account?: string, service = 'coffer'): Promise<void> {
    await this.#secretTool(['clear', 'service', service, ...(account === undefined ? [] : ['account', account])]);
  }

  /** Lists the items of a service with their attributes, as `secret-tool` sees them. */
  async items(service = 'coffer'): Promise<Item[]> {
    return parseItems(await this.#secretTool(['search', '--all', 'service', service]));
  }

  /** Kills all programs on the bus and the bus itself, and removes the folder. */
  async dispose(): Promise<void> {
    process.off('exit', this.#emergency);
    await Promise.all(this.#children.map(stop));
    await rm(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #secretTool(args: readonly string[], input = ''): Promise<string> {
    // secret-tool prints an item's attributes on stderr, the rest on stdout: only a single pipe
    // keeps them in order.
    const call = run('sh', ['-c', 'exec secret-tool "$@" 2>&1', 'sh', ...args], { env: this.#environment({}) });
    // A search reads nothing and may already have ended.
    call.child.stdin?.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
    call.child.stdin?.end(input);
    return (await call).stdout;
  }

  #environment(extra: Record<string, string>): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], LANG: 'C.UTF-8', ...this.env, ...extra };
  }
}

/**
 * Starts an empty bus. With `activatable`, it starts the services that the system would start on
 * demand (gnome-keyring among them).
 */
export async function startBus(options: { activatable?: boolean } = {}): Promise<Bus> {
  const directory = await mkdtemp(join(tmpdir(), 'coffer-bus-'));
  const bus = new Bus(directory);
  await mkdir(bus.env.XDG_RUNTIME_DIR, { mode: 0o700 });
  await mkdir(bus.env.HOME, { mode: 0o700 });
  const configuration = join(directory, 'bus.conf');
  await writeFile(configuration, busConfiguration(bus.env.DBUS_SESSION_BUS_ADDRESS, options.activatable ?? false));
  const daemon = bus.spawn('dbus-daemon', [`--config-file=${configuration}`, '--nofork', '--print-address']);
  await output(daemon, /guid=/);
  return bus;
}

/** Starts a bus with a real, unlocked, empty gnome-keyring on it. */
export async function startKeychain(): Promise<Bus> {
  const bus = await startBus();
  await bus.startKeyring();
  return bus;
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      // Not in this folder: try the next one.
      return false;
    }
  });
}

function busConfiguration(address: string, activatable: boolean): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>${address}</listen>
  <auth>EXTERNAL</auth>
  ${activatable ? '<standard_session_servicedirs/>' : ''}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;
}

function parseItems(text: string): Item[] {
  const rows: Record<string, string>[] = [];
  for (const line of text.split('\n')) {
    if (/^\[\/.*\]$/.test(line)) rows.push({});
    const [, name, value] = /^([\w.:]+) = (.*)$/.exec(line) ?? [];
    const row = rows.at(-1);
    if (row !== undefined && name !== undefined && value !== undefined) row[name] = value;
  }
  return rows.map((fields) => ({
    label: fields['label'] ?? '',
    secret: fields['secret'],
    schema: fields['schema'] ?? '',
    attributes: Object.fromEntries(
      Object.entries(fields)
        .filter(([name]) => name.startsWith('attribute.'))
        .map(([name, value]) => [name.slice('attribute.'.length), value]),
    ),
  }));
}

/** Resolves once a child's output matches; rejects if the child ends first. */
function output(child: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (pattern.test(text)) resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${child.spawnfile} ended with ${code} before it was ready`)));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
