import { chmodSync, existsSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { CofferError } from '../errors.ts';
import { isSystemError, notSaved } from './reason.ts';
import { syncDirectory } from './remove.ts';
import { userHome } from './user-home.ts';

/**
 * Says where the vault is: `override` (from `--data-dir`) before `COFFER_DATA_DIR` before the system's own
 * place for it (`~/.local/share/coffer`, `~/Library/Application Support/coffer`,
 * `%LOCALAPPDATA%\coffer\Data`). Always absolute; an empty string counts as not given,
 * and so does a relative HOME or XDG_DATA_HOME.
 */
export function dataDirectory(env: NodeJS.ProcessEnv, override?: string): string {
  return resolve(override || env['COFFER_DATA_DIR'] || ownDirectory('data'));
}

/**
 * Says where the settings and the known vaults are: `override`, before `COFFER_CONFIG_DIR`, before the system's own place
 * for a program's configuration (`~/.config/coffer`). Always absolute; an empty string counts as not given.
 */
export function configDirectory(env: NodeJS.ProcessEnv, override?: string): string {
  return resolve(override || env['COFFER_CONFIG_DIR'] || ownDirectory('config'));
}

/**
 * Makes a directory and what is missing above it, every new level with mode 0700 from the start whatever
 * the umask, its entry flushed to disk; one of ours that is there already is set to 0700. Throws `FAILED`
 * where a file or a symbolic link has the name, `NOT_SAVED` where the system refuses.
 */
export function makeDirectory(path: string): void {
  const directory = resolve(path);
  try {
    missingLevels(directory).forEach(makeLevel);
    const found = lstatSync(directory);
    if (!found.isDirectory()) {
      const thing = found.isSymbolicLink() ? 'a symbolic link' : 'a file';
      throw new CofferError('FAILED', `${directory} is ${thing}`, {
        advice: 'name a directory in its place, or move it away',
      });
    }
    if (found.uid === process.geteuid?.() && (found.mode & 0o777) !== 0o700) {
      chmodSync(directory, 0o700);
    }
  } catch (error) {
    throw isSystemError(error) ? notSaved('cannot make', directory, error, 'nothing can be saved there') : error;
  }
}

/** Returns what env-paths says unless that is relative, as HOME or an XDG variable may be: then the platform's default in the user's home. */
function ownDirectory(kind: 'data' | 'config'): string {
  const usual = envPaths('coffer', { suffix: '' })[kind];
  return isAbsolute(usual) ? usual : join(userHome(), OWN[kind], 'coffer');
}

const OWN =
  process.platform === 'darwin'
    ? { data: 'Library/Application Support', config: 'Library/Preferences' }
    : { data: '.local/share', config: '.config' };

function missingLevels(directory: string): string[] {
  const levels: string[] = [];
  for (let level = directory; !existsSync(level); level = dirname(level)) {
    levels.unshift(level);
  }
  return levels;
}

function makeLevel(level: string): void {
  try {
    mkdirSync(level, 0o700);
    chmodSync(level, 0o700);
  } catch (error) {
    // Another process made it just now, or a dangling link has the name: the caller looks which.
    if (!isSystemError(error, 'EEXIST')) {
      throw error;
    }
  }
  syncDirectory(dirname(level));
}
