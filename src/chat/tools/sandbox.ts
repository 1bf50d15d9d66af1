import { execFile } from 'node:child_process';
import { mkdir, realpath, stat } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { isWithin } from '../permissions.ts';
import { Closed } from './closed.ts';
import { commandEnv, type Launch, watched } from './launch.ts';
import type { Place } from './tool.ts';

/** A bubblewrap that works here. */
export interface Sandbox {
  /** The program. */
  readonly bwrap: string;
}

/** What a sandbox is made for. */
export interface Bounds {
  readonly place: Place;
  /** The real working directory, the only one that is written to. */
  readonly directory: string;
  readonly network: boolean;
}

/**
 * Finds bubblewrap and tries once in a process whether it works: unprivileged user namespaces may be off, or a container may forbid them.
 * Gives the reason where there is none. A program of that name that the model could have put there is not taken: it has to be root's, nobody else's
 * to write, and outside the working directory (unless that is the whole disk).
 */
export async function findSandbox(env: NodeJS.ProcessEnv, directory: string): Promise<Sandbox | string> {
  if (process.platform !== 'linux') return 'bubblewrap is for Linux';
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((path) => isAbsolute(path))) {
    const bwrap = await trusted(join(folder, 'bwrap'), directory);
    if (bwrap === undefined) continue;
    const fault = await (tried.get(bwrap) ?? remember(bwrap, tryOut(bwrap)));
    return fault === undefined ? { bwrap } : `bubblewrap does not work here: ${fault}`;
  }
  return 'bubblewrap is not installed';
}

/** A command as it runs in a sandbox, which ends with coffer, and everything in it with the sandbox. */
export async function sandboxLaunch({ bwrap }: Sandbox, command: string, bounds: Bounds): Promise<Launch> {
  const args = [...(await sandboxArguments(bounds)), '--', ...watched(command)];
  const env = { ...commandEnv(bounds.place.env), TMPDIR: '/tmp' };
  return { file: bwrap, args, directory: bounds.directory, env, sandboxed: true };
}

/** Tells whether somebody with the network could speak to the session bus, and so to the keychain: what hides files does not hide that. */
export function busIsOnNetwork(env: NodeJS.ProcessEnv): boolean {
  return /(^|;)\s*(unix:(.*,)?abstract=|n?once-?tcp:|tcp:)/.test(env['DBUS_SESSION_BUS_ADDRESS'] ?? '');
}

/**
 * What bubblewrap is told. Everything can be read but what is hidden, and nothing written but the working directory; later mounts lie over earlier
 * ones, so that order is the meaning: the whole, what hides parts of it, the working directory (which may lie in a hidden part), what hides parts of that.
 */
async function sandboxArguments({ place, directory, network }: Bounds): Promise<string[]> {
  const hidden = await hiddenPaths(place, directory);
  const within = hidden.filter((path) => isWithin(directory, path) && !(directory === '/' && isUnder(PRIVATE, path)));
  const outside = hidden.filter((path) => !isWithin(directory, path) && !isUnder(PRIVATE, path));
  return [
    ...base(directory === '/' ? '--bind' : '--ro-bind', network),
    ...(await nameServers(network)),
    ...(await Promise.all(outside.map((path) => hide(path, directory)))).flat(),
    ...(directory === '/' ? [] : ['--bind', directory, directory]),
    ...pins(directory, within),
    ...(await Promise.all(within.map((path) => hide(path, directory)))).flat(),
    ...['--chdir', directory],
  ];
}

/** Directories every sandbox has for itself. In /run are the sockets of what runs here as root or as the user: each would be a way out. */
const PRIVATE: readonly string[] = ['/tmp', '/var/tmp', '/run'];

/** What some systems have their programs under, and /run is where it lies. */
const PROGRAMS: readonly string[] = ['/run/current-system', '/run/booted-system', '/run/opengl-driver'];

function base(root: '--bind' | '--ro-bind', network: boolean): string[] {
  const namespaces = ['user', 'pid', 'ipc', 'uts', ...(network ? [] : ['net'])];
  return [
    ...namespaces.map((name) => `--unshare-${name}`),
    // No --new-session: a program is started in a session of its own, and what stays in its process group can be ended with it.
    ...['--cap-drop', 'ALL', '--die-with-parent'],
    ...[root, '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...PRIVATE.flatMap((path) => ['--tmpfs', path]),
    ...PROGRAMS.flatMap((path) => ['--ro-bind-try', path, path]),
  ];
}

/** Where names are looked up may be written in /run. */
async function nameServers(network: boolean): Promise<string[]> {
  if (!network) return [];
  const path = await realpath('/etc/resolv.conf').catch(() => undefined); // without it there is nothing to show
  return path !== undefined && isUnder(PRIVATE, path) ? ['--ro-bind', path, path] : [];
}

/**
 * Everything to hide, by its real path; what lies in something hidden is hidden with it. What coffer has not made yet is made where the
 * command could make it: settings it left there would be taken for the person's own the next time.
 */
async function hiddenPaths(place: Place, directory: string): Promise<string[]> {
  const { env } = place;
  const sockets = [...(env['DBUS_SESSION_BUS_ADDRESS'] ?? '').matchAll(/path=([^,;]+)/g)];
  const named = [env['XDG_RUNTIME_DIR'], env['SSH_AUTH_SOCK'], ...sockets.map(([, path]) => decode(path ?? ''))];
  const { paths: own } = await Closed.in(place);
  const file = resolve(env['COFFER_PASSPHRASE_FILE'] || '/');
  await Promise.all(own.filter((path) => isWithin(directory, path) && path !== file).map(makeMissing));
  const denied = place.denied?.filter((path) => path !== '/') ?? []; // without anything to read there is no shell either
  const paths = [...own, ...denied, ...named.filter((path) => path !== undefined && isAbsolute(path))];
  const real = await Promise.all(paths.map((path) => realpath(path as string).catch(() => undefined))); // not there: nothing to hide
  const there = [...new Set(real.filter((path) => path !== undefined))].sort();
  return there.filter((path) => !there.some((other) => other !== path && isWithin(other, path)));
}

async function makeMissing(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // It is a file, which is hidden as one; or it is not for us to make, and so not for the command either.
    if (!['EEXIST', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw error;
  }
}

/** What the working directory lies in stays writable: its mount point has to be made there. */
async function hide(path: string, directory: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return ['--ro-bind', '/dev/null', path];
  return isWithin(path, directory) ? ['--tmpfs', path] : ['--tmpfs', path, '--remount-ro', path];
}

/** A directory on the way to something hidden is mounted on itself: else it could be renamed, and would be found under its new name the next time. */
function pins(directory: string, hidden: readonly string[]): string[] {
  const between = new Set<string>();
  for (const path of hidden) {
    for (let at = dirname(path); at !== directory && isWithin(directory, at); at = dirname(at)) between.add(at);
  }
  return [...between].sort().flatMap((path) => ['--bind', path, path]);
}

function isUnder(directories: readonly string[], path: string): boolean {
  return directories.some((directory) => isWithin(directory, path));
}

/** D-Bus writes what is not plain in an address as %xx. */
function decode(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

async function trusted(path: string, directory: string): Promise<string | undefined> {
  try {
    const real = await realpath(path);
    const found = await stat(real);
    const ours = found.isFile() && found.uid === 0 && (found.mode & 0o022) === 0;
    return ours && (directory === '/' || !isWithin(directory, real)) ? real : undefined;
  } catch {
    // Not in this folder, or not for us: the next one may have it.
    return undefined;
  }
}

const tried = new Map<string, Promise<string | undefined>>();

function remember(bwrap: string, answer: Promise<string | undefined>): Promise<string | undefined> {
  tried.set(bwrap, answer);
  return answer;
}

/** Makes the smallest sandbox there is; gives why that failed. */
function tryOut(bwrap: string): Promise<string | undefined> {
  const args = [...base('--ro-bind', false), '--', '/bin/sh', '-c', ':'];
  return new Promise((resolve) => {
    execFile(bwrap, args, { env: {}, timeout: 10_000 }, (error, _, stderr) => {
      resolve(error === null ? undefined : stderr.trim().split('\n')[0] || error.message);
    });
  });
}
