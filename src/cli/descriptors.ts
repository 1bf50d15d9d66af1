import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The `fdinfo` flag of a descriptor that child processes don't inherit. */
const CLOSE_ON_EXEC = 0o2_000_000;

/**
 * The first descriptor that Node may leave inheritable: it marks lower ones close-on-exec at
 * startup.
 */
const FIRST = 16;

/** The highest descriptor that is marked. */
const LAST = 1023;

/**
 * Closes inherited descriptors above stderr that child processes would inherit as well: a key or a
 * passphrase may be readable from one. A descriptor that `args` or `env` name as a path
 * (`/dev/fd/63`) or as COFFER_KEY_FD keeps its number, but becomes private to this process. Linux
 * only: on other systems Node starts child processes without them.
 */
export function keepDescriptors(args: readonly string[], env: NodeJS.ProcessEnv): void {
  if (process.platform !== 'linux') return;
  for (const fd of inherited()) {
    if (isNamed(fd, args, env)) mark(fd);
    else closeSync(fd);
  }
}

function inherited(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => fd >= FIRST && isInheritable(fd));
}

function isInheritable(fd: number): boolean {
  try {
    const [, flags] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    return false; // the directory that was listed, closed by now
  }
}

function isNamed(fd: number, args: readonly string[], env: NodeJS.ProcessEnv): boolean {
  if (env['COFFER_KEY_FD'] === `${fd}`) return true;
  const path = new RegExp(`^(/dev/fd|/proc/self/fd)/0*${fd}$`);
  return [...args, ...Object.values(env)].some((word) => word !== undefined && path.test(word));
}

/**
 * Reopens a descriptor under the same number, marked close-on-exec: Node marks what it opens, and
 * open() uses the lowest free number. Sockets and named pipes can't be reopened this way; they are
 * left as they are, and read before a tool runs.
 */
function mark(fd: number): void {
  if (fd > LAST || !canBeOpened(fd)) return;
  const again = openSync(`/proc/self/fd/${fd}`, 'r');
  closeSync(fd);
  const extra = [again];
  for (let next = again; next < fd; extra.push(next)) next = openSync(`/proc/self/fd/${again}`, 'r');
  for (const each of extra) if (each !== fd) closeSync(each);
}

function canBeOpened(fd: number): boolean {
  try {
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    if (target.startsWith('pipe:')) return true;
    // A reopened file is read from its start, which is right only if nothing has been read yet.
    return target.startsWith('/') && /^pos:\s*0$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  } catch {
    return false;
  }
}
