import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PermissionSettings } from '../../../src/chat/permissions.ts';
import { isHarmlessConfig } from '../../../src/chat/sandbox/git-config.ts';
import { guardOf, secretOf } from '../../../src/chat/tools/access/guarded.ts';
import { requireUnix } from '../../support/keychain.ts';
import { type World, world } from './support.ts';

beforeEach(requireUnix);

/** Files that other programs run or trust. */
const GUARDED = [
  '.git/config',
  '.git/hooks/pre-commit',
  '.git',
  'sub/.git',
  'a/b/c/.git/config',
  '.git/modules/m/config',
  '.GIT/config',
  '.g\u200cit/config',
  '.coffer.json',
  'sub/.coffer.json',
  '.envrc',
  '.vscode/tasks.json',
  'deep/er/.idea/workspace.xml',
  '.bashrc',
  '.profile',
  '.zshenv',
  '.config/fish/config.fish',
  '.config/autostart/x.desktop',
  '.config/git/config',
  '.config/systemd/user/a.service',
  '.gitconfig',
  'node_modules/.bin/git',
  'packages/a/node_modules/.bin/tsc',
  '.ssh/authorized_keys',
];

/** Files that usually hold a secret. */
const SECRETS = [
  '.ssh/id_ed25519',
  '.gnupg/secring.gpg',
  '.aws/credentials',
  '.azure/msal_token_cache.json',
  '.config/gcloud/credentials.db',
  '.config/gh/hosts.yml',
  '.kube/config',
  '.docker/config.json',
  '.netrc',
  '_netrc',
  '.pgpass',
  '.git-credentials',
  '.password-store/mail.gpg',
  '.env',
  '.env.local',
  'packages/a/.env.production',
  '.mozilla/firefox/x/logins.json',
  '.config/google-chrome/Default/Login Data',
  '.config/chromium/Default/Cookies',
  '.thunderbird/x/logins.json',
  '.pki/nssdb/key4.db',
  'Library/Keychains/login.keychain-db',
  '.local/share/kwalletd/kdewallet.kwl',
  '.local/share/kwalletd/kdewallet.salt',
  'kwalletd/kdewallet.salt',
  '.local/share/kwallet6/kdewallet.salt',
  'kdewallet.kwl',
  'Documents/words.kdbx',
];

/** Files with names similar to those. */
const PLAIN = [
  'git/config',
  '.github/workflows/ci.yml',
  '.gitignore',
  'env',
  'bin/git',
  '.bin/git',
  'a.envrc',
  'src/.binary',
  'ssh/id',
];

/** All rules that allow something without naming the path. */
const general = (at: World): PermissionSettings => ({
  allow: ['read', 'write', 'command', 'network', 'read:/', 'write:/', `read:${at.project}`, `write:${at.project}`],
  deny: [],
});

describe('a file that other programs run', () => {
  it.for(GUARDED)('is not written under any general rule: %s', async (path) => {
    const at = world();
    const input = { path, content: 'x' };
    const options = { permissions: general(at) };
    expect(await at.call('write_file', input, options)).toMatchObject({ outcome: 'denied' });
    const session = { write: 'allow', [`write:${at.project}`]: 'allow' } as const;
    expect(await at.call('write_file', input, { ...options, session })).toMatchObject({ outcome: 'denied' });
    expect(existsSync(join(at.project, path))).toBe(false);
  });

  it.for(GUARDED)(
    'is written after a question that says what it is, and under a rule that names it: %s',
    async (path) => {
      const at = world();
      const asked: { rule: string; about: string }[] = [];
      const input = { path, content: 'x' };
      const real = join(at.project, path);
      const options = {
        permissions: general(at),
        approve: async (request: { rule: string; about: string }) => {
          asked.push(request);
          return 'session' as const;
        },
      };
      const done = await at.call('write_file', input, options);
      expect(done.outcome).toBe('completed');
      expect(asked).toMatchObject([
        { rule: `write:${real}`, about: expect.stringMatching(/other programs run or trust this file$/) },
      ]);
      await at.call('write_file', { path, content: 'y' }, { ...options, recorder: done.recorder });
      expect(asked).toHaveLength(1);
    },
  );

  it('is edited only after asking', async () => {
    const at = world();
    at.put('project/.envrc', 'echo');
    const input = { path: '.envrc', old_text: 'echo', new_text: 'evil' };
    const permissions = { ...general(at), allow: [...general(at).allow, `read:${at.project}/.envrc`] };
    expect(await at.call('edit_file', input, { permissions })).toMatchObject({ outcome: 'denied' });
  });

  it('is recognised through a link to its directory', async () => {
    const at = world();
    mkdirSync(join(at.project, '.vscode'));
    symlinkSync('.vscode', join(at.project, 'link'));
    const done = await at.call('write_file', { path: 'link/tasks.json', content: '' }, { permissions: general(at) });
    expect(done.outcome).toBe('denied');
  });

  it.for(['config', 'hooks/post-checkout', 'config.worktree'])(
    'is known in a repository by another name: %s',
    async (path) => {
      const at = world();
      for (const name of ['HEAD', 'objects/a', 'refs/a']) at.put(`project/store/${name}`);
      const options = { permissions: general(at) };
      expect(await at.call('write_file', { path: `store/${path}`, content: '' }, options)).toMatchObject({
        outcome: 'denied',
      });
      expect(await at.call('write_file', { path: `other/${path}`, content: '' }, options)).toMatchObject({
        outcome: 'completed',
      });
    },
  );

  it('includes coffer’s own code', async () => {
    const at = world();
    const place = { own: [join(at.project, 'node_modules/coffer')] };
    const input = { path: 'node_modules/coffer/dist/main.js', content: '' };
    expect(await at.call('write_file', input, { permissions: general(at), place })).toMatchObject({
      outcome: 'denied',
    });
    const asked: string[] = [];
    const approve = async ({ about }: { about: string }): Promise<'once'> => {
      asked.push(about);
      return 'once';
    };
    const done = await at.call('write_file', input, { permissions: general(at), place, approve });
    expect(done.outcome).toBe('completed');
    expect(asked).toEqual([expect.stringMatching(/coffer runs this file$/)]);
  });
});

describe('a file that usually holds a secret', () => {
  it.for(SECRETS)('is not read under any general rule: %s', async (path) => {
    const at = world();
    at.put(`project/${path}`, 'secret');
    const options = { permissions: general(at) };
    expect(await at.call('read_file', { path }, options)).toMatchObject({ outcome: 'denied' });
    const found = await at.call('search_files', { text: 'secret' }, options);
    expect(found.text).not.toContain(':1:');
    const named = { permissions: { ...general(at), allow: [`read:${at.project}/${path}`] } };
    expect(await at.call('read_file', { path }, named)).toMatchObject({ outcome: 'completed', text: 'secret' });
  });

  it.each([false, true])('appears in a listing, recursive: %s', async (recursive) => {
    const at = world();
    at.put('project/.env');
    const done = await at.call('list_files', { recursive }, { permissions: general(at) });
    expect(done).toMatchObject({ outcome: 'completed', text: '.env\n' });
  });

  it('is not granted by a rule for another file of its directory', async () => {
    const at = world();
    for (const name of ['notes.txt', 'other.txt']) at.put(`outside/${name}`, 'text');
    const first = await at.call(
      'read_file',
      { path: join(at.outside, 'notes.txt') },
      { permissions: { allow: [], deny: [] }, approve: async () => 'session' },
    );
    expect(first.outcome).toBe('completed');
    const options = { permissions: { allow: [], deny: [] }, recorder: first.recorder };
    expect(await at.call('read_file', { path: join(at.outside, 'notes.txt') }, options)).toMatchObject({
      outcome: 'completed',
    });
    expect(await at.call('read_file', { path: join(at.outside, 'other.txt') }, options)).toMatchObject({
      outcome: 'denied',
    });
  });
});

describe('other files', () => {
  it.for(PLAIN)('are read and written under a general rule: %s', async (path) => {
    const at = world();
    const options = { permissions: general(at) };
    expect(await at.call('write_file', { path, content: 'x' }, options)).toMatchObject({ outcome: 'completed' });
    expect(await at.call('read_file', { path }, options)).toMatchObject({ outcome: 'completed' });
  });
});

describe('guarded names', () => {
  it('identify the part of a path that is guarded', () => {
    expect(guardOf('/p/sub/.vscode/a/tasks.json')).toBe('/p/sub/.vscode');
    expect(guardOf('/p/sub/vscode')).toBe(undefined);
    expect(secretOf('/home/me/.ssh/id')).toBe('/home/me/.ssh');
    expect(secretOf('/home/me/.env/lib/python')).toBe(undefined);
    expect(secretOf('/home/me/.docker/config.json')).toBe('/home/me/.docker/config.json');
  });
});

describe('a git configuration', () => {
  const init = '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n';
  const clone = `${init}[remote "origin"]\n\turl = https://example.com/a.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n`;

  it.for([init, clone, `${clone}[user]\n\tname = a b\n`, ''])('is harmless as git writes it: %j', (text) => {
    expect(isHarmlessConfig(text)).toBe(true);
  });

  it.for([
    '[core]\n\tfsmonitor = evil\n',
    '[core]\n\thooksPath = h\n',
    '[core]\n\tsshCommand = evil\n',
    '[core] fsmonitor = evil\n',
    '[core]\n\tbare = false\\\n\n\tfsmonitor = evil\n',
    '[core]\n\tbare = false ; \n',
    '[include]\n\tpath = x\n',
    '[includeIf "gitdir:/"]\n\tpath = x\n',
    '[alias]\n\tst = !evil\n',
    '[core]\n\tworktree = /\n',
    '[core]\n\trepositoryformatversion = 1\n',
    '[extensions]\n\tpartialClone = o\n',
    '[remote "o"]\n\tuploadpack = evil\n',
    '[remote "o"]\n\turl = ext::evil\n',
    '[remote "o"]\n\turl = -oProxyCommand=evil\n',
    '[remote "o"]\n\turl = ssh://-oProxyCommand=evil/x\n',
    '[filter "f"]\n\tclean = evil\n',
    '[diff "d"]\n\ttextconv = evil\n',
    '[credential]\n\thelper = evil\n',
    '[submodule "s"]\n\tupdate = !evil\n',
    '[core]\r\n\tfsmonitor = evil\r\n',
    '\ufeff[core]\n\tfsmonitor = evil\n',
    `${init}\0[core]\n\tfsmonitor = evil\n`,
  ])('is not harmless with anything else: %j', (text) => {
    expect(isHarmlessConfig(`${init}${text}`)).toBe(false);
  });
});
