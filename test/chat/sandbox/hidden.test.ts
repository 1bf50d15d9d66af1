import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { requireRoot, requireSandbox, type World, world } from '../tools/support.ts';

/** Paths of files in a home that usually hold a secret. */
const SECRETS = [
  '.ssh/id_ed25519',
  '.gnupg/trustdb.gpg',
  '.aws/credentials',
  '.config/gcloud/credentials.db',
  '.kube/config',
  '.docker/config.json',
  '.netrc',
  '.mozilla/firefox/x/logins.json',
  '.config/google-chrome/Default/Cookies',
  '.config/chromium/Default/Cookies',
  '.local/share/kwalletd/kdewallet.kwl',
  'words.kdbx',
  'Documents/words.kdbx',
  'far/away/in/words.kdbx',
];

function put(root: string, path: string, text: string): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

/** Creates a home on a file system that sandboxes share. */
function makeHome(): string {
  const home = mkdtempSync(join(realpathSync(homedir()), '.coffer-test-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  for (const path of SECRETS) put(home, path, 'secret');
  put(home, '.config/keepassxc/keepassxc.ini', `LastDatabases=${home}/far/away/in/words.kdbx, /none.kdbx\n`);
  put(home, '.bashrc', 'plain');
  put(home, '.config/other', 'plain');
  return home;
}

async function read(
  at: World,
  home: string,
  paths: readonly string[],
  allow: readonly string[] = [],
  more: object = {},
): Promise<string> {
  const command = paths.map((path) => `echo "${path}: $(cat '${path}' 2>/dev/null)"`).join('; ');
  const place = { sandbox: 'required', env: { ...process.env, HOME: home }, ...more } as const;
  return (
    await at.call(
      'run_command',
      { command },
      { place, permissions: { allow: ['command', 'read:/', ...allow], deny: [] } },
    )
  ).text;
}

describe('a command in a sandbox', () => {
  it('sees no files that usually hold a secret, in the home or the working directory', async (context) => {
    requireSandbox(context);
    const at = world();
    const home = makeHome();
    const paths = [...SECRETS, '.bashrc', '.config/other'].map((path) => join(home, path));
    const hidden = SECRETS.map((path) => `${join(home, path)}: `);
    const plain = ['.bashrc', '.config/other'].map((path) => `${join(home, path)}: plain`);
    expect((await read(at, home, paths)).split('\n')).toEqual([...hidden, ...plain, '[exit status 0]', '']);
    // The home is the working directory.
    const own = { directory: home };
    expect((await read(at, home, paths, [], own)).split('\n')).toEqual([...hidden, ...plain, '[exit status 0]', '']);
    for (const path of ['.env', 'a/b/.env.local', 'a/words.kdbx', 'a/.aws/credentials']) {
      const full = put(at.project, path, 'secret');
      expect(await read(at, home, [full])).not.toContain('secret');
    }
  });

  it('sees a file that a rule names', async (context) => {
    requireSandbox(context);
    const home = makeHome();
    const paths = ['.ssh/id_ed25519', '.aws/credentials'].map((path) => join(home, path));
    const text = await read(world(), home, paths, [`read:${home}/.ssh`, `read:${home}`]);
    expect(text).toBe(`${paths[0]}: secret\n${paths[1]}: \n[exit status 0]\n`);
  });

  it('sees neither secrets nor the vault through a second mount', async (context) => {
    requireSandbox(context);
    requireRoot(context);
    const home = makeHome();
    const vault = put(home, 'vault/seen', 'secret');
    const [whole, part] = ['whole', 'part'].map((name) => join(home, '..', `${home.split('/').at(-1)}-${name}`)) as [
      string,
      string,
    ];
    for (const [from, to] of [
      [home, whole],
      [join(home, '.ssh'), part],
    ] as const) {
      mkdirSync(to);
      execFileSync('mount', ['--bind', from, to]);
      onTestFinished(() => {
        execFileSync('umount', [to]);
        rmSync(to, { recursive: true });
      });
    }
    const paths = [
      join(whole, 'vault/seen'),
      join(whole, '.ssh/id_ed25519'),
      join(part, 'id_ed25519'),
      join(whole, '.bashrc'),
    ];
    const text = await read(world(), home, paths, [], { protected: [dirname(vault)] });
    expect(text).toBe(
      `${paths
        .slice(0, 3)
        .map((path) => `${path}: \n`)
        .join('')}${paths[3]}: plain\n[exit status 0]\n`,
    );
  });
});
