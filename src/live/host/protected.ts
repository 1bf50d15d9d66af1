import { realpathSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { settingsPath } from '../../settings/settings.ts';

/**
 * Lists the paths that no tool of a model may touch, whatever permissions it has: the vault and the
 * settings, the sockets that lead to the keychain, the keychain's own files, the cache of compiled
 * code that coffer runs, and the files through which a key or passphrase is passed in.
 */
export function protectedPaths(env: NodeJS.ProcessEnv, vault: string): string[] {
  const home = env['HOME'] || homedir();
  const given = ['XDG_RUNTIME_DIR', 'CREDENTIALS_DIRECTORY', 'COFFER_PASSPHRASE_FILE'].map((name) => env[name]);
  return [
    vault,
    dirname(settingsPath(env)),
    join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'coffer'),
    join(env['XDG_DATA_HOME'] || join(home, '.local', 'share'), 'keyrings'),
    ...(process.platform === 'darwin' ? [join(home, 'Library', 'Keychains')] : []),
    ...given.filter((path): path is string => path !== undefined && path !== ''),
  ];
}

/**
 * Lists the paths of coffer's own code: its package, the node_modules directories above it (from
 * which it loads packages, or would if they existed), Node's executable, and the directories that
 * the two were started from.
 */
export function ownCode(argv: readonly string[] = process.argv, program: string = process.execPath): string[] {
  const root = realpathSync(dirname(findPackageJSON(import.meta.url) ?? import.meta.dirname));
  const above: string[] = [];
  for (let at = root; at !== dirname(at); at = dirname(at)) above.push(join(dirname(at), 'node_modules'));
  const started = argv.slice(1, 2).map((path) => realpathSync(dirname(path)));
  return [root, ...above, realpathSync(program), dirname(realpathSync(program)), ...started];
}
