import { chmodSync, existsSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { CofferError } from '../errors.ts';
import { isSystemError, notSaved } from './reason.ts';
import { syncDirectory } from './remove.ts';
import { userHome } from './user-home.ts';

/**
 * Returns the vault directory: `override` (from `--data-dir`), else `COFFER_DATA_DIR`, else the
 * platform's default (`~/.local/share/coffer`, `~/Library/Application Support/coffer`,
 * `%LOCALAPPDATA%\coffer\Data`). Always absolute. An empty string is ignored, and so is a relative
 * HOME or XDG_DATA_HOME.
 */
export function dataDirectory(env: NodeJS.ProcessEnv, override?: string): string {
  return resolve(override || env['COFFER_DATA_DIR'] || ownDirectory('data'));
}

/**
 * Returns the directory of the settings and the known vaults: `override`, else `COFFER_CONFIG_DIR`,
 * else the platform's default (`~/.config/coffer`). Always absolute. An empty string is ignored.
 */
export function configDirectory(env: NodeJS.ProcessEnv, override?: string): string {
  return resolve(override || env['COFFER_CONFIG_DIR'] || ownDirectory('config'));
}

/**
 * Creates a directory and its missing parents, every new level with mode 0700 from the start
 * whatever the umask, and with its entry flushed to disk. An existing directory that this user owns
 * is set to 0700. Throws `FAILED` if the path is a file or a symbolic link, `NOT_SAVED` if the
 * system refuses.
 */
export function makeDirectory(path: string): void {
  const directory = resolve(path);
  try {
    missingLevels(directory).forEach(makeLevel);
    const found = lstatSync(directory);
    if (!found.isDirectory()) {
      const thing = found.isSymbolicLink() ? 'a symbolic link' : 'a file';
      throw new CofferError('FAILED', `${directory} is ${thing}`, {
        advice: 'choose another directory, or move it away',
      });
    }
    if (found.uid === process.geteuid?.() && (found.mode & 0o777) !== 0o700) {
      chmodSync(directory, 0o700);
    }
  } catch (error) {
    throw isSystemError(error) ? notSaved('cannot create', directory, error, 'nothing can be saved there') : error;
  }
}

/**
 * Returns the directory from env-paths. If that is relative, as HOME or an XDG variable may be,
 * returns the platform's default in the user's home.
 */
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
    // Another process has just created it, or it is a dangling link; the caller checks which.
    if (!isSystemError(error, 'EEXIST')) {
      throw error;
    }
  }
  syncDirectory(dirname(level));
}
