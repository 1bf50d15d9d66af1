import { homedir, userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { CofferError } from '../errors.ts';

/** Variables that name one directory of the user. */
const NAMING = /^(?:HOME|XDG_\w+_(?:HOME|DIR)|USERPROFILE|APPDATA|LOCALAPPDATA)$/;

/**
 * Removes from `env` the variables of the user's directories that aren't absolute paths, as the XDG
 * Base Directory Specification requires (a relative one would create a vault in whatever directory
 * coffer is started in). Sets HOME, if it is then missing, to the home in the user's passwd entry.
 * Throws `FAILED` if there is no such entry.
 */
export function settleDirectories(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) {
    if (NAMING.test(name) && !isAbsolute(env[name] ?? '')) delete env[name];
  }
  if (process.platform !== 'win32') env['HOME'] ??= userHome();
}

/**
 * Returns the user's home: from the environment of this process, else from the passwd entry. Throws
 * `FAILED` if neither is an absolute path.
 */
export function userHome(): string {
  const found = [homedir, () => userInfo().homedir].map(lookUp).find((path) => path !== undefined && isAbsolute(path));
  if (found !== undefined) return found;
  throw new CofferError('FAILED', 'you have no home directory', { advice: 'set HOME to an absolute path' });
}

/** Node throws a system error for a user without a passwd entry. */
function lookUp(ask: () => string): string | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}
