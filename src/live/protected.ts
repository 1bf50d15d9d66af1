import { realpathSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { settingsPath } from '../settings/settings.ts';

/**
 * Lists what no tool of a model may touch, whatever it is granted: where the vault is and its settings, sockets through which the
 * keychain is asked, the keychain's own files, compiled code that coffer would run, and where a key or a passphrase is handed over.
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
 * Lists coffer's own code: its package, the packages it loads or would load if they existed, Node, and the directories from which the two
 * were started.
 */
export function ownCode(argv: readonly string[] = process.argv, program: string = process.execPath): string[] {
  const root = realpathSync(dirname(findPackageJSON(import.meta.url) ?? import.meta.dirname));
  const above: string[] = [];
  for (let at = root; at !== dirname(at); at = dirname(at)) above.push(join(dirname(at), 'node_modules'));
  const started = argv.slice(1, 2).map((path) => realpathSync(dirname(path)));
  return [root, ...above, realpathSync(program), dirname(realpathSync(program)), ...started];
}
