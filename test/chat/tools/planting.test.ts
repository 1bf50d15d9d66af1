import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeRepository } from '../../support/repository.ts';
import { requireSandbox, type World, world } from './support.ts';

/** A file that a command tries to leave behind, and how. */
interface Plant {
  readonly name: string;
  readonly command: string;
  /** The path at which another program would run it. It must not exist afterwards. */
  readonly at: string;
  /** Prepares the directory, which is a repository in any case. */
  make?(at: World): void;
}

const EVIL = 'fsmonitor = evil';
const NEW: readonly Plant[] = [
  {
    name: 'a hook of a nested repository',
    command: 'mkdir -p s/.git/hooks; echo x > s/.git/hooks/pre-commit',
    at: 's/.git/hooks',
  },
  {
    name: 'a nested configuration',
    command: `mkdir -p a/b/.git; echo '[core] ${EVIL}' > a/b/.git/config`,
    at: 'a/b/.git/config',
  },
  {
    name: 'a configuration created by git',
    command: 'git init -q s; git -C s config core.fsmonitor evil',
    at: 's/.git/config',
  },
  {
    name: 'a hook created by git',
    command: 'git init -q s; echo x > s/.git/hooks/post-index-change',
    at: 's/.git/hooks',
  },
  { name: 'a .git file', command: 'mkdir s; echo "gitdir: /tmp/x" > s/.git', at: 's/.git' },
  { name: 'a .git link', command: 'mkdir s t; ln -s ../t s/.git', at: 's/.git' },
  { name: 'a .git in place of another', command: 'mv .git t; echo "gitdir: t" > .git', at: '.git' },
  {
    name: 'a configuration in place of another',
    command: `mv .git t; mkdir .git; cp -r t/* .git 2>/dev/null; echo '[core] ${EVIL}' >> .git/config`,
    at: '.git/config',
  },
  {
    name: 'a bare repository',
    command: `mkdir -p s/objects s/refs; echo 'ref: refs/heads/a' > s/HEAD; printf '[core]\\n\\t${EVIL}\\n' > s/config`,
    at: 's/config',
  },
  {
    name: 'a submodule',
    command: `mkdir -p .git/modules/m; echo '[core] ${EVIL}' > .git/modules/m/config`,
    at: '.git/modules/m/config',
  },
  { name: 'a common directory', command: 'echo /tmp/x > .git/commondir', at: '.git/commondir' },
  {
    name: 'settings of a work tree',
    command: `echo '[core] ${EVIL}' > .git/config.worktree`,
    at: '.git/config.worktree',
  },
  { name: 'an .envrc', command: 'echo evil > .envrc', at: '.envrc' },
  { name: 'an .envrc far below', command: 'mkdir -p a/b/c/d; echo evil > a/b/c/d/.envrc', at: 'a/b/c/d/.envrc' },
  { name: 'an .envrc by a rename', command: 'echo evil > x; mv x .envrc', at: '.envrc' },
  {
    name: 'an .envrc by a rename of its directory',
    command: 'mkdir t; echo evil > t/x; mv t/x t/.envrc; mv t u',
    at: 'u/.envrc',
  },
  { name: 'an .envrc by a hard link', command: 'echo evil > x; ln x .envrc', at: '.envrc' },
  { name: 'an .envrc by a link', command: 'echo evil > x; ln -s x .envrc', at: '.envrc' },
  { name: 'an .envrc by a link of a link', command: 'echo evil > x; ln -s x y; ln -s y .envrc', at: '.envrc' },
  { name: 'settings of coffer', command: 'echo {} > .coffer.json', at: '.coffer.json' },
  { name: 'a task', command: 'mkdir .vscode; echo {} > .vscode/tasks.json', at: '.vscode' },
  { name: 'a project', command: 'mkdir -p s/.idea', at: 's/.idea' },
  { name: 'a program', command: 'mkdir -p node_modules/.bin; echo x > node_modules/.bin/git', at: 'node_modules/.bin' },
  { name: 'a shell startup file', command: 'echo x > .bashrc', at: '.bashrc' },
  { name: 'in a directory that can’t be read', command: 'mkdir s; echo x > s/.envrc; chmod 111 s', at: 's/.envrc' },
  {
    name: 'a file made by a process left behind',
    command: 'setsid sh -c "trap \\"\\" TERM HUP; while :; do echo x >> .envrc; done" >/dev/null 2>&1 & sleep 0.1',
    at: '.envrc',
  },
  {
    name: 'a file with an existing hard link',
    make: (at) => linkSync(at.put('project/.envrc', 'fine'), join(at.project, 'second')),
    command: 'echo evil > second',
    at: '.envrc',
  },
];

/** Existing files, which must stay unchanged. */
const THERE: readonly Plant[] = [
  { name: 'the configuration', command: 'git config core.fsmonitor evil', at: '.git/config' },
  { name: 'the configuration, written to', command: 'echo evil >> .git/config', at: '.git/config' },
  {
    name: 'the configuration, replaced',
    command: 'echo evil > x; mv -f x .git/config; rm -f .git/config',
    at: '.git/config',
  },
  {
    name: 'a hook',
    command: 'echo evil > .git/hooks/a; mv .git/hooks t; rm -rf .git/hooks',
    at: '.git/hooks/a',
    make: (at) => void at.put('project/.git/hooks/a', 'fine'),
  },
  ...[
    '.envrc',
    'a/b/.coffer.json',
    '.vscode/tasks.json',
    'node_modules/.bin/git',
    's/node_modules/.bin/git',
    's/.git/config',
  ].map(
    (path): Plant => ({
      name: path,
      make: (at) => void at.put(`project/${path}`, 'fine'),
      command: `echo evil > ${path}; rm -rf ${path}; mv ${path} x; echo evil > x; mv -f x ${path}; ln -f ${path} y && echo evil > y`,
      at: path,
    }),
  ),
  {
    name: 'the repository that .git links to',
    make(at) {
      renameSync(join(at.project, '.git'), join(at.project, 'store'));
      symlinkSync('store', join(at.project, '.git'));
    },
    command: 'echo evil >> store/config; echo evil > x; mv -f x store/config',
    at: '.git/config',
  },
  {
    name: 'the repository that a .git file names',
    make(at) {
      renameSync(join(at.project, '.git'), join(at.project, 'store'));
      writeFileSync(join(at.project, '.git'), 'gitdir: store\n');
    },
    command: 'echo evil >> store/config; echo evil > x; mv -f x store/config',
    at: 'store/config',
  },
  {
    name: 'the target of a .vscode link',
    make(at) {
      at.put('project/conf/tasks.json', 'fine');
      symlinkSync('conf', join(at.project, '.vscode'));
    },
    command: 'echo evil > conf/tasks.json; rm -rf conf',
    at: '.vscode/tasks.json',
  },
];

async function run(at: World, command: string, more: object = {}): Promise<string> {
  return (await at.call('run_command', { command }, { place: { sandbox: 'required', ...more } })).text;
}

function prepared(plant: Pick<Plant, 'make'>): World {
  const at = world();
  makeRepository(at.project);
  plant.make?.(at);
  return at;
}

describe('a command in a sandbox', () => {
  it.for(NEW)('leaves no file that another program would run: $name', async (plant, context) => {
    requireSandbox(context);
    const at = prepared(plant);
    const text = await run(at, plant.command);
    expect(lstatSync(join(at.project, plant.at), { throwIfNoEntry: false })).toBe(undefined);
    expect(text).toContain(`[${plant.at} was renamed to ${plant.at}.put-aside: other programs would run it]`);
    expect(existsSync(join(at.project, `${plant.at}.put-aside`)) || plant.name.includes('link')).toBe(true);
  });

  it.for(THERE)('can’t change a file that another program runs: $name', async (plant, context) => {
    requireSandbox(context);
    const at = prepared(plant);
    const before = readFileSync(join(at.project, plant.at), 'utf8');
    await run(at, plant.command);
    expect(readFileSync(join(at.project, plant.at), 'utf8')).toBe(before);
  });

  it('can create a repository, clone one and commit', async (context) => {
    requireSandbox(context);
    const at = prepared({});
    const user = 'git -c user.name=a -c user.email=a@b.c';
    const text = await run(
      at,
      `echo x > a && git add a && ${user} commit -qm a && git init -q s && cd s && echo x > a && git add a && ${user} commit -qm b && cd .. && git clone -q file://$PWD t && git -C t log --format=%s`,
    );
    expect(text).toMatch(/^a\nfirst of .*\n\[exit status 0\]\n$/s);
    expect(readFileSync(join(at.project, 't/.git/config'), 'utf8')).toContain('[remote "origin"]');
  });

  it('can write a file that a rule names', async (context) => {
    requireSandbox(context);
    const at = prepared({});
    at.put('project/.bashrc', 'before');
    const permissions = {
      allow: ['command', `write:${at.project}/.bashrc`, `write:${at.project}/.vscode`, `write:${at.project}`],
      deny: [],
    };
    const command = 'echo after > .bashrc; mkdir .vscode .idea';
    const { text } = await at.call('run_command', { command }, { place: { sandbox: 'required' }, permissions });
    expect(readFileSync(join(at.project, '.bashrc'), 'utf8')).toBe('after\n');
    expect(existsSync(join(at.project, '.vscode'))).toBe(true);
    expect(text).toContain('[.idea was renamed');
    expect(text).not.toContain('[.vscode was renamed');
  });

  it('can’t change coffer’s own code, or shadow it', async (context) => {
    requireSandbox(context);
    const at = world();
    at.put('project/src/coffer/dist/main.js', 'fine');
    const own = ['src/coffer', 'src/node_modules', 'node_modules'].map((path) => join(at.project, path));
    const commands = [
      'echo evil > src/coffer/dist/main.js',
      'mv src t; mkdir -p src/coffer/dist; echo evil > src/coffer/dist/main.js',
      'mkdir -p node_modules/keytar src/node_modules/keytar; rm -rf src',
    ];
    for (const command of commands) await run(at, command, { own });
    expect(readFileSync(join(at.project, 'src/coffer/dist/main.js'), 'utf8')).toBe('fine');
    for (const path of ['node_modules', 'src/node_modules'])
      expect(existsSync(join(at.project, path, 'keytar'))).toBe(false);
    expect(await run(at, 'echo x > src/a && cat src/a', { own })).toMatch(/^x\n/);
    await run(at, 'echo x > a', { own: [at.root] });
    expect(existsSync(join(at.project, 'a'))).toBe(false);
  });

  it('works in a project with a thousand packages with programs', async (context) => {
    requireSandbox(context);
    const at = world();
    for (let n = 0; n < 1000; n++)
      mkdirSync(join(at.project, `node_modules/p${n}/node_modules/.bin`), { recursive: true });
    expect(await run(at, 'echo x > node_modules/p999/node_modules/.bin/git; echo x > a; cat a')).toMatch(
      /Read-only.*\nx\n/,
    );
  });

  it('does not run if there are more paths to protect than a sandbox can hold', async (context) => {
    requireSandbox(context);
    const at = world();
    for (let n = 0; n < 501; n++) at.put(`project/${n}/.envrc`);
    expect(await run(at, 'echo x > a')).toContain('501 files and directories that must stay as they are');
    expect(existsSync(join(at.project, 'a'))).toBe(false);
  });
});
