import { sep } from 'node:path';

/*
 * Two kinds of paths need permission one by one, even in the working directory: files that other
 * programs run automatically (a hook, an editor's task, a shell startup file), and files that
 * usually hold a secret. Both are recognised by name, at any depth.
 */

/**
 * Returns the part of an absolute path because of which other programs run it: `/p/.vscode` for
 * `/p/.vscode/tasks.json`. Undefined if there is none.
 */
export function guardOf(path: string): string | undefined {
  return partOf(path, isGuarded);
}

/**
 * Returns the part of an absolute path that usually holds a secret: `/home/me/.ssh` for
 * `/home/me/.ssh/id`. Undefined if there is none.
 */
export function secretOf(path: string): string | undefined {
  return partOf(path, isSecret);
}

/**
 * Tells whether a name in a directory starts a guarded path. `parents` are the names above it, in
 * lower case, the nearest last.
 */
export function isGuarded(name: string, parents: readonly string[]): boolean {
  if (GUARDED.has(name)) return true;
  const above = parents.at(-1) ?? '';
  if (name === '.bin') return above === 'node_modules';
  return above === '.config' && GUARDED_IN_CONFIG.has(name);
}

/**
 * Like {@link isGuarded}, for a secret. `isLast`: nothing follows the name. `.env` is a secret as a
 * file, but not as a directory.
 */
export function isSecret(name: string, parents: readonly string[], isLast: boolean): boolean {
  if (SECRET.has(name) || /\.(kdbx?|kwl)$/.test(name)) return true;
  if (isLast && name.startsWith('.env')) return true;
  const above = parents.at(-1) ?? '';
  if (above === '.docker') return name === 'config.json';
  if (above === '.config') return PROFILES.some((profile) => name.startsWith(profile));
  if (above === '.var') return name === 'app';
  if (above === 'share') return name.startsWith('kwallet');
  if (above === 'snap') return PROFILES.some((profile) => name.startsWith(profile)) || name === 'firefox';
  return above === 'application support' && PROFILES.some((profile) => name.startsWith(profile));
}

/** Normalises a name like a file system that ignores case or invisible characters. */
export function plainName(name: string): string {
  return name
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .normalize('NFC')
    .toLowerCase();
}

/**
 * Guarded in any directory. `.git` contains the configuration and the hooks; as a file it refers to
 * another repository.
 */
const GUARDED: ReadonlySet<string> = new Set([
  ...['.git', '.gitconfig', '.coffer.json', '.envrc', '.vscode', '.idea', '.ssh', '.pam_environment'],
  ...['.bashrc', '.bash_profile', '.bash_login', '.bash_logout', '.bash_aliases', '.profile', '.inputrc'],
  ...[
    '.zshrc',
    '.zshenv',
    '.zprofile',
    '.zlogin',
    '.zlogout',
    '.kshrc',
    '.mkshrc',
    '.cshrc',
    '.tcshrc',
    '.login',
    '.logout',
  ],
  ...['.xprofile', '.xinitrc', '.xsession', '.xsessionrc', '.node_modules', '.node_libraries'],
]);

/** Guarded in `.config`. */
const GUARDED_IN_CONFIG: ReadonlySet<string> = new Set([
  ...['fish', 'git', 'nushell', 'powershell', 'autostart', 'environment.d', 'systemd', 'plasma-workspace'],
]);

const SECRET: ReadonlySet<string> = new Set([
  ...[
    '.ssh',
    '.gnupg',
    '.aws',
    '.azure',
    '.kube',
    '.netrc',
    '_netrc',
    '.pgpass',
    '.git-credentials',
    '.password-store',
  ],
  ...['.mozilla', '.thunderbird', '.pki', 'kwalletd', 'keychains'],
]);

/**
 * Prefixes of directories with browser profiles, credentials and password databases, in `.config`
 * or where macOS keeps them.
 */
const PROFILES: readonly string[] = [
  ...[
    'gcloud',
    'gh',
    'google-chrome',
    'google',
    'chromium',
    'bravesoftware',
    'microsoft-edge',
    'microsoft edge',
    'vivaldi',
  ],
  ...['opera', 'firefox', 'mozilla', 'keepass'],
];

function partOf(
  path: string,
  is: (name: string, parents: readonly string[], isLast: boolean) => boolean,
): string | undefined {
  const parts = path.split(sep);
  const names = parts.map(plainName);
  for (let at = 1; at < names.length; at++) {
    const isLast = at === names.length - 1;
    if (is(names[at] ?? '', names.slice(0, at), isLast)) return parts.slice(0, at + 1).join(sep);
  }
  return undefined;
}
