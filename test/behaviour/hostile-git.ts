import { execFileSync } from 'node:child_process';
import { chownSync, cpSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { makeRepository } from '../support/repository.ts';

/** A directory that a stranger, or a model's tool, may have made. */
export interface Hostile {
  readonly name: string;
  /**
   * Prepares the directory, a repository with one commit. Returns additions to coffer's
   * environment.
   */
  make(at: Trap): Record<string, string> | undefined;
  /**
   * Arguments with which plain git runs the planted code, to prove that the trap works. Omitted if
   * the trap isn't meant for git.
   */
  readonly springs?: readonly string[];
  /** Whether the old way of calling git ran the planted code. */
  readonly caught?: true;
  /** The pipe on which it used to hang, relative to the directory. */
  readonly hungOn?: string;
  readonly needsRoot?: true;
}

/** The parts of a trap. */
export interface Trap {
  readonly directory: string;
  /** A directory next to it. */
  readonly beside: string;
  /** A program that leaves the marker. */
  readonly evil: string;
  /** Runs git in the directory. */
  git(...args: string[]): void;
}

/** Removes a commit, so that a partial clone would fetch it. */
function lazy(at: Trap, ...options: (readonly [string, string])[]): void {
  at.git('config', 'extensions.partialClone', 'o');
  at.git('config', 'core.repositoryFormatVersion', '1');
  at.git('config', 'remote.o.promisor', 'true');
  at.git('config', 'remote.o.url', at.beside);
  for (const [key, value] of options) at.git('config', key, value);
  const missing = '1234567890123456789012345678901234567890';
  writeFileSync(join(at.directory, '.git/refs/heads/trunk'), `${missing}\n`);
}

function pipe(...parts: string[]): void {
  const path = join(...parts);
  rmSync(path, { recursive: true, force: true });
  execFileSync('mkfifo', [path]);
}

function script(path: string, evil: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\nexec ${evil}\n`, { mode: 0o755 });
}

const config = (
  key: string,
  springs: readonly string[],
  more: readonly (readonly [string, string])[] = [],
): Hostile => ({
  name: key,
  make(at) {
    at.git('config', key, at.evil);
    for (const [name, value] of more) at.git('config', name, value.replaceAll('EVIL', at.evil));
    return undefined;
  },
  springs,
});

const REV_LIST = ['rev-list', '--max-parents=0', 'HEAD'] as const;

/** Everything in a directory that can make git run, read or wait for something. */
export const HOSTILE: readonly Hostile[] = [
  {
    name: 'a partial clone with an uploadpack',
    make: (at) => void lazy(at, ['remote.o.uploadpack', at.evil]),
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a partial clone over ssh',
    make: (at) => void lazy(at, ['remote.o.url', 'ssh://a.invalid/b'], ['core.sshCommand', at.evil]),
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a partial clone over ext',
    make: (at) => void lazy(at, ['remote.o.url', `ext::${at.evil}`], ['protocol.ext.allow', 'always']),
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a partial clone through a proxy program',
    make: (at) => void lazy(at, ['remote.o.url', 'git://a.invalid/b'], ['core.gitProxy', at.evil]),
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'include.path',
    make(at) {
      lazy(at);
      writeFileSync(join(at.directory, 'more'), `[remote "o"]\n\tuploadpack = ${at.evil}\n`);
      at.git('config', 'include.path', '../more');
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'includeIf',
    make(at) {
      lazy(at);
      writeFileSync(join(at.directory, 'more'), `[remote "o"]\n\tuploadpack = ${at.evil}\n`);
      at.git('config', 'includeIf.onbranch:**.path', '../more');
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'config.worktree',
    make(at) {
      lazy(at);
      at.git('config', 'extensions.worktreeConfig', 'true');
      writeFileSync(join(at.directory, '.git/config.worktree'), `[remote "o"]\n\tuploadpack = ${at.evil}\n`);
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a .git file that points elsewhere',
    make(at) {
      lazy(at, ['remote.o.uploadpack', at.evil]);
      renameSync(join(at.directory, '.git'), join(at.beside, 'elsewhere'));
      writeFileSync(join(at.directory, '.git'), `gitdir: ${at.beside}/elsewhere\n`);
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a .git linked elsewhere',
    make(at) {
      lazy(at, ['remote.o.uploadpack', at.evil]);
      renameSync(join(at.directory, '.git'), join(at.beside, 'elsewhere'));
      symlinkSync(join(at.beside, 'elsewhere'), join(at.directory, '.git'));
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a work tree of a hostile repository',
    make(at) {
      lazy(at, ['remote.o.uploadpack', at.evil]);
      const main = join(at.beside, 'main');
      const own = join(main, '.git/worktrees/w');
      mkdirSync(main);
      renameSync(join(at.directory, '.git'), join(main, '.git'));
      mkdirSync(own, { recursive: true });
      writeFileSync(join(own, 'HEAD'), 'ref: refs/heads/trunk\n');
      writeFileSync(join(own, 'commondir'), '../..\n');
      writeFileSync(join(own, 'gitdir'), `${at.directory}/.git\n`);
      writeFileSync(join(at.directory, '.git'), `gitdir: ${own}\n`);
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: 'a bare repository that lies open',
    make(at) {
      lazy(at, ['remote.o.uploadpack', at.evil], ['core.bare', 'true']);
      cpSync(join(at.directory, '.git'), at.directory, { recursive: true });
      rmSync(join(at.directory, '.git'), { recursive: true });
      mkdirSync(join(at.directory, '.git'));
      return undefined;
    },
    springs: REV_LIST,
    caught: true,
  },
  {
    name: "another user's repository that calls itself safe",
    make(at) {
      lazy(at, ['remote.o.uploadpack', at.evil], ['safe.directory', '*']);
      for (const path of [at.directory, join(at.directory, '.git')]) chownSync(path, 65534, 65534);
      return undefined;
    },
    // The user has declared the directory safe.
    springs: ['-c', 'safe.directory=*', ...REV_LIST],
    needsRoot: true,
  },
  {
    name: 'git in node_modules/.bin',
    make(at) {
      const folder = join(at.directory, 'node_modules/.bin');
      script(join(folder, 'git'), at.evil);
      return { PATH: [folder, process.env['PATH']].join(delimiter) };
    },
    caught: true,
  },
  {
    name: 'git in the directory, and PATH begins with a dot',
    make(at) {
      script(join(at.directory, 'git'), at.evil);
      return { PATH: ['.', process.env['PATH']].join(delimiter) };
    },
    caught: true,
  },
  {
    name: 'a .gitconfig in the directory, which is the home',
    make(at) {
      lazy(at);
      writeFileSync(join(at.directory, '.gitconfig'), `[remote "o"]\n\tuploadpack = ${at.evil}\n`);
      return { HOME: at.directory };
    },
    caught: true,
  },
  {
    name: 'variables of git in the environment',
    make(at) {
      lazy(at);
      const options = [
        ['remote.o.uploadpack', at.evil],
        ['core.fsmonitor', at.evil],
      ];
      const set = options.flatMap(([key, value], n) => [
        [`GIT_CONFIG_KEY_${n}`, key],
        [`GIT_CONFIG_VALUE_${n}`, value],
      ]);
      return { ...Object.fromEntries(set), GIT_CONFIG_COUNT: '2', GIT_SSH_COMMAND: at.evil, GIT_PAGER: at.evil };
    },
  },
  config('core.fsmonitor', ['status']),
  config('core.sshCommand', ['fetch', 'ssh://a.invalid/b']),
  config('core.gitProxy', ['fetch', 'git://a.invalid/b']),
  config('core.editor', ['commit', '--allow-empty']),
  config('gpg.program', ['commit', '--allow-empty', '-S', '-m', 'x']),
  config('credential.helper', ['credential', 'fill']),
  config('diff.external', ['diff']),
  config('alias.rev-list', ['planted'], [['alias.planted', '!EVIL']]),
  config('filter.f.clean', ['add', 'planted'], [['filter.f.smudge', 'EVIL']]),
  {
    name: 'hooks',
    make(at) {
      const names = ['pre-commit', 'post-index-change', 'post-checkout', 'reference-transaction', 'pre-auto-gc'];
      for (const name of names) script(join(at.directory, '.git/hooks', name), at.evil);
      return undefined;
    },
    springs: ['commit', '--allow-empty', '-m', 'x'],
  },
  {
    name: 'core.hooksPath',
    make(at) {
      script(join(at.directory, 'hooks/pre-commit'), at.evil);
      at.git('config', 'core.hooksPath', 'hooks');
      return undefined;
    },
    springs: ['commit', '--allow-empty', '-m', 'x'],
  },
  {
    name: 'a submodule with a command for its update',
    make(at) {
      writeFileSync(join(at.directory, '.gitmodules'), `[submodule "s"]\n\tpath = s\n\turl = ${at.beside}\n`);
      at.git('config', 'submodule.s.update', `!${at.evil}`);
      at.git('config', 'submodule.s.url', at.beside);
      at.git('config', 'submodule.recurse', 'true');
      mkdirSync(join(at.directory, 's'));
      writeFileSync(join(at.directory, 's/.git'), 'gitdir: ../.git/modules/s\n');
      return undefined;
    },
  },
  { name: 'a pipe as .git', make: ({ directory }) => void pipe(directory, '.git'), hungOn: '.git' },
  { name: 'a pipe as HEAD', make: ({ directory }) => void pipe(directory, '.git/HEAD'), hungOn: '.git/HEAD' },
  ...['config', 'packed-refs', 'commondir', 'refs/heads/trunk', 'objects/info/alternates'].map(
    (name): Hostile => ({ name: `a pipe as ${name}`, make: ({ directory }) => void pipe(directory, '.git', name) }),
  ),
  {
    name: 'a pipe as an included file',
    make(at) {
      pipe(at.directory, 'more');
      at.git('config', '--file', '.git/config', 'include.path', '../more');
      return undefined;
    },
  },
  {
    name: 'an endless device as .git',
    make({ directory }) {
      rmSync(join(directory, '.git'), { recursive: true });
      symlinkSync('/dev/zero', join(directory, '.git'));
      return undefined;
    },
  },
  {
    name: 'an endless device as HEAD',
    make({ directory }) {
      rmSync(join(directory, '.git/HEAD'));
      symlinkSync('/dev/zero', join(directory, '.git/HEAD'));
      return undefined;
    },
  },
  {
    name: 'a .git file that points at a directory with a pipe as HEAD',
    make({ directory, beside }) {
      rmSync(join(directory, '.git'), { recursive: true });
      pipe(beside, 'HEAD');
      writeFileSync(join(directory, '.git'), `gitdir: ${beside}\n`);
      return undefined;
    },
    hungOn: '../beside/HEAD',
  },
  {
    name: 'a HEAD of a terabyte',
    make: ({ directory }) => truncateSync(join(directory, '.git/HEAD'), 2 ** 40) as undefined,
  },
  {
    name: 'a packed-refs of a terabyte',
    make({ directory }) {
      writeFileSync(join(directory, '.git/packed-refs'), '');
      truncateSync(join(directory, '.git/packed-refs'), 2 ** 40);
      return undefined;
    },
  },
  {
    name: 'a .git that links to itself',
    make({ directory }) {
      rmSync(join(directory, '.git'), { recursive: true });
      symlinkSync('.git', join(directory, '.git'));
      return undefined;
    },
  },
  ...['.coffer.json', '.envrc', '.env', '.npmrc'].map(
    (name): Hostile => ({ name: `a pipe as ${name}`, make: ({ directory }) => void pipe(directory, name) }),
  ),
  {
    name: 'an endless device as .coffer.json',
    make: ({ directory }) => void symlinkSync('/dev/zero', join(directory, '.coffer.json')),
  },
  {
    name: 'a .coffer.json that wants more than it may',
    make({ directory, evil }) {
      const wants = {
        permissions: { allow: ['command'] },
        sandbox: 'off',
        editor: evil,
        providers: { x: { command: evil } },
      };
      writeFileSync(join(directory, '.coffer.json'), JSON.stringify(wants));
      return undefined;
    },
  },
  {
    name: 'files that other programs run',
    make({ directory, evil }) {
      for (const name of ['.envrc', '.bashrc', '.profile', '.zshenv', 'Makefile']) script(join(directory, name), evil);
      mkdirSync(join(directory, '.vscode'));
      const task = { tasks: [{ command: evil, runOptions: { runOn: 'folderOpen' } }] };
      writeFileSync(join(directory, '.vscode/tasks.json'), JSON.stringify(task));
      writeFileSync(join(directory, '.env'), `NODE_OPTIONS=--require=${directory}/evil.js\n`);
      return undefined;
    },
  },
  {
    name: 'packages by the names of coffer’s own',
    make({ directory, evil }) {
      const names = ['keytar', 'zod', 'commander', 'marked', 'diff', 'coffer', '@ai-sdk/anthropic', 'env-paths'];
      for (const name of names) {
        const folder = join(directory, 'node_modules', name);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, main: 'index.js' }));
        writeFileSync(join(folder, 'index.js'), `require('node:child_process').execFileSync(${JSON.stringify(evil)});`);
      }
      writeFileSync(
        join(directory, 'package.json'),
        JSON.stringify({ imports: { '#*': './node_modules/*/index.js' } }),
      );
      return undefined;
    },
  },
  {
    name: 'programs with the names of those coffer starts',
    make({ directory, evil }) {
      const folder = join(directory, 'node_modules/.bin');
      for (const name of ['sh', 'node', 'bwrap', 'secret-tool', 'security', 'dbus-launch', 'gpg', 'ssh']) {
        script(join(folder, name), evil);
      }
      return { PATH: [folder, process.env['PATH']].join(delimiter) };
    },
  },
];

/** Makes the directory of one row of the table, and the program that leaves the marker. */
export function setTrap(root: string, directory: string, marker: string): Trap {
  const [beside, evil] = [join(root, 'beside'), join(root, 'evil')];
  mkdirSync(beside);
  makeRepository(directory);
  for (const name of ['planted', 'readme']) writeFileSync(join(directory, name), 'changed');
  writeFileSync(join(directory, '.gitattributes'), 'planted filter=f\n');
  writeFileSync(evil, `#!/bin/sh\n: > ${marker}\nexit 1\n`, { mode: 0o755 });
  const git = (...args: string[]): void => {
    execFileSync('git', args, { cwd: directory, stdio: 'ignore' });
  };
  return { directory, beside, evil, git };
}
