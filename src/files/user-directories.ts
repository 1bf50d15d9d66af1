import { homedir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { CofferError } from '../errors.ts';

/** Variables that name one directory of the user. */
const NAMING = /^(?:HOME|XDG_\w+_(?:HOME|DIR)|USERPROFILE|APPDATA|LOCALAPPDATA)$/;

/**
 * Removes from `env` the variables of the user's directories that are not absolute paths, as the XDG Base Directory Specification asks
 * (a relative one would make a vault in whatever directory coffer is started in), and sets HOME to the home in the user's passwd entry
 * if it is missing then. Throws `FAILED` if there is no such entry.
 */
export function settleDirectories(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) {
    if (NAMING.test(name) && absolute(env[name]) === undefined) delete env[name];
  }
  if (process.platform !== 'win32') env['HOME'] ??= homeDirectory(env);
}

/** Returns where coffer's vault is unless the user says otherwise. Throws `FAILED` if the user has no home. */
export function vaultHome(env: NodeJS.ProcessEnv): string {
  if (process.platform === 'darwin') return join(homeDirectory(env), 'Library', 'Application Support', 'coffer');
  if (process.platform === 'win32') return join(windowsData(env, 'Local'), 'coffer', 'Data');
  return join(absolute(env['XDG_DATA_HOME']) ?? join(homeDirectory(env), '.local', 'share'), 'coffer');
}

/** Returns where coffer's settings are unless the user says otherwise. Throws `FAILED` if the user has no home. */
export function settingsHome(env: NodeJS.ProcessEnv): string {
  if (process.platform === 'darwin') return join(homeDirectory(env), 'Library', 'Preferences', 'coffer');
  if (process.platform === 'win32') return join(windowsData(env, 'Roaming'), 'coffer', 'Config');
  return join(absolute(env['XDG_CONFIG_HOME']) ?? join(homeDirectory(env), '.config'), 'coffer');
}

function windowsData(env: NodeJS.ProcessEnv, which: 'Local' | 'Roaming'): string {
  const given = absolute(env[which === 'Local' ? 'LOCALAPPDATA' : 'APPDATA']);
  return given ?? join(homeDirectory(env), 'AppData', which);
}

/** The home that `env` names, else that of this process's environment, else that of the user's passwd entry. */
function homeDirectory(env: NodeJS.ProcessEnv): string {
  const given = absolute(env[process.platform === 'win32' ? 'USERPROFILE' : 'HOME']);
  const found = given ?? absolute(lookUp(homedir)) ?? absolute(lookUp(() => userInfo().homedir));
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

function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
