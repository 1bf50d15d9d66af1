import { mkdir, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, resolve } from 'node:path';
import { CofferError } from '../../errors.ts';
import { isWithin } from '../permissions.ts';
import { Closed } from '../tools/closed.ts';
import type { Place } from '../tools/tool.ts';
import { homeSecrets } from './home-secrets.ts';
import { otherNames } from './other-names.ts';
import type { Survey } from './survey.ts';

/** What a sandbox is made for. */
export interface Bounds {
  readonly place: Place;
  /** The real working directory, the only one that is written to. */
  readonly directory: string;
  readonly network: boolean;
}

/**
 * What bubblewrap is told. Everything can be read but what is hidden, and nothing written but the working directory; later mounts lie over earlier
 * ones, so that order is the meaning: the whole, what hides parts of it, the working directory (which may lie in a hidden part), what hides parts of that.
 */
export async function sandboxArguments(
  { place, directory, network }: Bounds,
  hidden: readonly string[],
  fixed: readonly string[],
): Promise<string[]> {
  const within = hidden.filter((path) => isWithin(directory, path) && !(directory === '/' && isUnder(EMPTY, path)));
  const outside = hidden.filter((path) => !isWithin(directory, path) && !isUnder(EMPTY, path));
  const isFixed = directory !== '/' && fixed.some((path) => isWithin(path, directory));
  return [
    ...base(directory === '/' ? '--bind' : '--ro-bind', network),
    ...(await nameServers(network)),
    ...(await Promise.all(outside.map((path) => hide(path, directory)))).flat(),
    ...(directory === '/' ? [] : [isFixed ? '--ro-bind' : '--bind', directory, directory]),
    ...(isFixed ? [] : pins(directory, [...within, ...(place.own ?? [])])),
    ...(isFixed ? [] : fixed.flatMap((path) => ['--ro-bind', path, path])),
    ...(await Promise.all(within.map((path) => hide(path, directory)))).flat(),
    ...['--chdir', directory],
  ];
}

/** Directories every sandbox has for itself, empty. In /run are the sockets of what runs here as root or as the user: each would be a way out. */
const EMPTY: readonly string[] = ['/tmp', '/var/tmp', '/run'];

/** Directories that a sandbox whose working directory is the whole disk does not share with the system. */
export const PRIVATE: readonly string[] = [...EMPTY, '/dev', '/proc', '/sys'];

/** What some systems have their programs under, and /run is where it lies. */
const PROGRAMS: readonly string[] = ['/run/current-system', '/run/booted-system', '/run/opengl-driver'];

export function base(root: '--bind' | '--ro-bind', network: boolean): string[] {
  const namespaces = ['user', 'pid', 'ipc', 'uts', ...(network ? [] : ['net'])];
  return [
    ...namespaces.map((name) => `--unshare-${name}`),
    // No --new-session: a program is started in a session of its own, and what stays in its process group can be ended with it.
    ...['--cap-drop', 'ALL', '--die-with-parent'],
    ...[root, '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...EMPTY.flatMap((path) => ['--tmpfs', path]),
    // The kernel lists there which keys somebody has.
    ...['/proc/keys', '/proc/key-users'].flatMap((path) => ['--ro-bind-try', '/dev/null', path]),
    ...PROGRAMS.flatMap((path) => ['--ro-bind-try', path, path]),
  ];
}

/** Where names are looked up may be written in /run. */
async function nameServers(network: boolean): Promise<string[]> {
  if (!network) return [];
  const path = await realpath('/etc/resolv.conf').catch(() => undefined); // without it there is nothing to show
  return path !== undefined && isUnder(EMPTY, path) ? ['--ro-bind', path, path] : [];
}

/**
 * Lists what can be read in the working directory and not written: what other programs run, and coffer's own code. What a rule names by its
 * own path is left out. Throws `FAILED` if it is more than a sandbox can hold.
 */
export function fixedPaths({ guarded }: Survey, { own = [], granted }: Place, directory: string): string[] {
  const code = own.filter((path) => isWithin(directory, path) || isWithin(path, directory));
  const named = [...guarded.keys()].filter(
    (path) => isWithin(directory, path) && !granted?.write.some((scope) => isWithin(scope, path)),
  );
  const paths = outermost([...code, ...collapse(named)]);
  if (paths.length <= MOST) return paths;
  const what = `${directory} has ${paths.length} files and directories that must stay as they are`;
  throw new CofferError('FAILED', `${what}, more than the ${MOST} a sandbox can hold`);
}

/** bubblewrap needs a tenth of a second for a hundred mounts, and four for a thousand. */
const MOST = 500;

/** As many `.bin` below one `node_modules` make all of it read-only. */
const MANY = 50;

function collapse(paths: readonly string[]): string[] {
  const top = (path: string): string => /^.*?[\\/]node_modules(?=[\\/])/.exec(path)?.[0] ?? path;
  const counts = Map.groupBy(paths, top);
  return [...counts].flatMap(([path, all]) => (all.length > MANY ? [path] : all));
}

/** Leaves out what lies in another one. */
export function outermost(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths)].sort();
  const kept: string[] = [];
  for (const path of sorted) if (!kept.some((other) => isWithin(other, path))) kept.push(path);
  return kept;
}

/**
 * Everything to hide, by its real path; what lies in something hidden is hidden with it. What coffer has not made yet is made where the
 * command could make it: settings it left there would be taken for the person's own the next time.
 */
export async function hiddenPaths(place: Place, directory: string): Promise<string[]> {
  const { env } = place;
  const sockets = [...(env['DBUS_SESSION_BUS_ADDRESS'] ?? '').matchAll(/path=([^,;]+)/g)];
  const named = [env['XDG_RUNTIME_DIR'], env['SSH_AUTH_SOCK'], ...sockets.map(([, path]) => decode(path ?? ''))];
  const { paths: own } = await Closed.in(place);
  const file = resolve(env['COFFER_PASSPHRASE_FILE'] || '/');
  await Promise.all(own.filter((path) => isWithin(directory, path) && path !== file).map(makeMissing));
  const denied = place.denied?.filter((path) => path !== '/') ?? []; // without anything to read there is no shell either
  const secrets = (await homeSecrets(env['HOME'] || homedir())).filter((path) => !isGranted(path, place));
  const paths = [...own, ...denied, ...secrets, ...named.filter((path) => path !== undefined && isAbsolute(path))];
  return await existing(paths as string[]);
}

/** Lists what of these is there to be hidden, under all its names. */
export async function existing(paths: readonly string[]): Promise<string[]> {
  const real = await Promise.all(paths.map((path) => realpath(path).catch(() => undefined))); // not there: nothing to hide
  const there = real.filter((path) => path !== undefined);
  return outermost([...there, ...(await otherNames(there))]);
}

/** Tells whether a rule allows a secret to be read: by its own path, or by one in which it lies and that is a secret's itself. */
export function isGranted(path: string, { granted }: Place): boolean {
  return granted?.read.some((scope) => isWithin(scope, path)) ?? false;
}

/** Makes what coffer would load code from if it were there: a command must not be the first to make it. */
export async function makeOwn({ own = [] }: Place, directory: string): Promise<void> {
  await Promise.all(own.filter((path) => isWithin(directory, path)).map(makeMissing));
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
