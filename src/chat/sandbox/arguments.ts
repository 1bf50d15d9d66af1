import { mkdir, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, resolve } from 'node:path';
import { CofferError } from '../../errors.ts';
import { isWithin } from '../permissions.ts';
import { Closed } from '../tools/access/closed.ts';
import type { ToolScope } from '../tools/tool.ts';
import { homeSecrets } from './home-secrets.ts';
import { otherNames } from './other-names.ts';
import type { Survey } from './survey.ts';

/** The access that a sandbox grants. */
export interface Bounds {
  readonly place: ToolScope;
  /** The real path of the working directory, the only writable one. */
  readonly directory: string;
  readonly network: boolean;
}

/**
 * Returns the arguments of bubblewrap. Everything is readable except what is hidden, and only the
 * working directory is writable. Later mounts cover earlier ones, so the order matters: the root,
 * the mounts that hide parts of it, the working directory (which may lie in a hidden part), the
 * mounts that hide parts of that.
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

/**
 * Directories that are private and empty in every sandbox. /run has the sockets of services of root
 * and the user: each would be a way out.
 */
const EMPTY: readonly string[] = ['/tmp', '/var/tmp', '/run'];

/**
 * Directories that a sandbox whose working directory is the whole disk does not share with the
 * system.
 */
export const PRIVATE: readonly string[] = [...EMPTY, '/dev', '/proc', '/sys'];

/** Directories below /run in which some systems keep their programs. */
const PROGRAMS: readonly string[] = ['/run/current-system', '/run/booted-system', '/run/opengl-driver'];

/**
 * Returns the arguments that every sandbox starts with: namespaces, the root, and private
 * directories.
 */
export function base(root: '--bind' | '--ro-bind', network: boolean): string[] {
  const namespaces = ['user', 'pid', 'ipc', 'uts', ...(network ? [] : ['net'])];
  return [
    ...namespaces.map((name) => `--unshare-${name}`),
    // No --new-session: the program already has a session of its own, and whatever stays in its
    // process group can be killed with it.
    ...['--cap-drop', 'ALL', '--die-with-parent'],
    ...[root, '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...EMPTY.flatMap((path) => ['--tmpfs', path]),
    // The kernel lists each user's keys there.
    ...['/proc/keys', '/proc/key-users'].flatMap((path) => ['--ro-bind-try', '/dev/null', path]),
    ...PROGRAMS.flatMap((path) => ['--ro-bind-try', path, path]),
  ];
}

/** Shows the configuration of name lookups, which may lie in /run. */
async function nameServers(network: boolean): Promise<string[]> {
  if (!network) return [];
  const path = await realpath('/etc/resolv.conf').catch(() => undefined); // nothing to show
  return path !== undefined && isUnder(EMPTY, path) ? ['--ro-bind', path, path] : [];
}

/**
 * Lists what is read-only in the working directory: what other programs run, and coffer's own code.
 * Leaves out what a rule names by its own path. Throws `FAILED` if there is more than a sandbox can
 * hold.
 */
export function fixedPaths({ guarded }: Survey, { own = [], granted }: ToolScope, directory: string): string[] {
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

/** With more guarded paths than this below one `node_modules`, all of it is read-only. */
const MANY = 50;

function collapse(paths: readonly string[]): string[] {
  const top = (path: string): string => /^.*?[\\/]node_modules(?=[\\/])/.exec(path)?.[0] ?? path;
  const counts = Map.groupBy(paths, top);
  return [...counts].flatMap(([path, all]) => (all.length > MANY ? [path] : all));
}

/** Leaves out paths that lie in another one. */
export function outermost(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths)].sort();
  const kept: string[] = [];
  for (const path of sorted) if (!kept.some((other) => isWithin(other, path))) kept.push(path);
  return kept;
}

/**
 * Lists everything to hide, by its real path; what lies in a hidden directory is hidden with it.
 * Creates what coffer has not created yet if the command could: settings that it left there would
 * be taken for the user's own next time.
 */
export async function hiddenPaths(place: ToolScope, directory: string): Promise<string[]> {
  const { env } = place;
  const sockets = [...(env['DBUS_SESSION_BUS_ADDRESS'] ?? '').matchAll(/path=([^,;]+)/g)];
  const named = [env['XDG_RUNTIME_DIR'], env['SSH_AUTH_SOCK'], ...sockets.map(([, path]) => decode(path ?? ''))];
  const { paths: own } = await Closed.in(place);
  const file = resolve(env['COFFER_PASSPHRASE_FILE'] || '/');
  await Promise.all(own.filter((path) => isWithin(directory, path) && path !== file).map(makeMissing));
  // Without anything readable there would be no shell either.
  const denied = place.denied?.filter((path) => path !== '/') ?? [];
  const secrets = (await homeSecrets(env['HOME'] || homedir())).filter((path) => !isGranted(path, place));
  const paths = [...own, ...denied, ...secrets, ...named.filter((path) => path !== undefined && isAbsolute(path))];
  return await existing(paths as string[]);
}

/** Lists those of the paths that exist, under all their names. */
export async function existing(paths: readonly string[]): Promise<string[]> {
  // A missing path needs no hiding.
  const real = await Promise.all(paths.map((path) => realpath(path).catch(() => undefined)));
  const there = real.filter((path) => path !== undefined);
  return outermost([...there, ...(await otherNames(there))]);
}

/**
 * Tells whether a rule allows a secret to be read, by its own path or by that of a secret directory
 * it is in.
 */
export function isGranted(path: string, { granted }: ToolScope): boolean {
  return granted?.read.some((scope) => isWithin(scope, path)) ?? false;
}

/**
 * Creates the directories that coffer would load code from if they existed: a command must not
 * create them first.
 */
export async function makeOwn({ own = [] }: ToolScope, directory: string): Promise<void> {
  await Promise.all(own.filter((path) => isWithin(directory, path)).map(makeMissing));
}

async function makeMissing(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // It is a file, and hidden as one; or we may not create it, and so the command may not either.
    if (!['EEXIST', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw error;
  }
}

/**
 * A hidden directory around the working directory stays writable: the mount point has to be created
 * in it.
 */
async function hide(path: string, directory: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return ['--ro-bind', '/dev/null', path];
  return isWithin(path, directory) ? ['--tmpfs', path] : ['--tmpfs', path, '--remount-ro', path];
}

/**
 * Mounts each directory above a hidden path on itself: otherwise it could be renamed, and its
 * secrets found under the new name next time.
 */
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

/** Decodes a D-Bus address, which escapes special characters as %xx. */
function decode(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
