import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as schemas from '../../src/cli/schemas.ts';
import { keyNames, variableOf } from '../../src/settings/keys.ts';
import { drifted } from '../../tools/docs.ts';
import { type CommandDoc, commandDocs, slashDocs, variables } from '../../tools/docs-program.ts';
import { makePlace } from '../support/coffer.ts';
import { temporaryFolder } from '../support/vault.ts';

const root = join(import.meta.dirname, '../..');
const all = commandDocs();

describe('the documents', () => {
  it('are up to date', () => {
    expect(drifted(), 'run npm run docs').toEqual([]);
  });

  it.each([
    [
      'a document that was edited',
      'cli.md',
      (at: string) => edit(join(at, 'docs/cli.md'), 'stdout carries', 'stdout has'),
    ],
    ['a document that is missing', 'coffer.1', (at: string) => rmSync(join(at, 'docs/coffer.1'))],
    [
      'a command that was changed',
      'cli.md',
      (at: string) => edit(join(at, 'src/cli/commands/vault/doctor.ts'), 'check the vault', 'examine the vault'),
    ],
    [
      'a provider that was changed',
      'models.md',
      (at: string) =>
        edit(
          join(at, 'test/providers/ollama.ts'),
          'which OpenAI allows in a message with calls',
          'which OpenAI allows',
        ),
    ],
    [
      'a setting that was changed',
      'config.md',
      (at: string) => edit(join(at, 'src/settings/keys.ts'), 'look for a model server', 'find a model server'),
    ],
  ])('fail --check with %s, which is named', (_, name, spoil) => {
    const at = copyRepository();
    expect(check(at)).toEqual([0, '']);
    spoil(at);
    expect(check(at)).toEqual([1, expect.stringContaining(join(at, 'docs', name))]);
  });

  it('are the same on every machine', () => {
    const env = {
      PATH: process.env['PATH'],
      HOME: '/nowhere',
      TZ: 'Asia/Tokyo',
      COLUMNS: '40',
      COFFER_MODEL: 'demo/echo',
      NO_COLOR: '1',
    };
    expect(check(root, env)).toEqual([0, '']);
  });

  it('describe every command, slash command and schema', () => {
    const cli = readFileSync(join(root, 'docs/cli.md'), 'utf8');
    for (const { name } of all) expect(cli).toContain(`\n## ${name}\n`);
    for (const [name] of slashDocs()) expect(cli).toContain(`| \`${name.replaceAll('|', '\\|')}\` |`);
    const headings = cli.slice(cli.indexOf('## JSON')).match(/^### /gm) ?? [];
    expect(headings).toHaveLength(Object.keys(schemas).filter((name) => name.endsWith('Schema')).length);
  });

  it('have a schema for every command that prints JSON', () => {
    const source = readFileSync(join(root, 'src/cli/schemas.ts'), 'utf8');
    const words = [...source.matchAll(/\/\*\*(.*?)\*\/\s*export const \w+Schema\b/gs)].map(([, text]) => text).join();
    const printing = all.filter(({ options }) => options.some(([term]) => term === '--json'));
    expect(printing.length).toBeGreaterThan(4);
    expect(printing.filter(({ name }) => !words.includes(`\`${name} `)).map(({ name }) => name)).toEqual([]);
  });

  it('name every environment variable that is read', () => {
    const sources = globSync('{src,native-fallback}/**/*.ts', { cwd: root }).map((path) =>
      readFileSync(join(root, path), 'utf8'),
    );
    const read = new Set(
      sources.flatMap((text) => [...text.matchAll(/\bCOFFER_[A-Z_]*[A-Z]\b/g)].map(([name]) => name)),
    );
    const known = new Set([...variables.map(([name]) => name), ...keyNames.map(variableOf)]);
    expect(read.size).toBeGreaterThan(4);
    expect([...read].filter((name) => !known.has(name))).toEqual([]);
  });
});

describe('the pages written by hand', () => {
  const pages = globSync(['*.md', 'docs/*.md'], { cwd: root });

  it.each([
    ['docs/architecture.md', 60],
    ['CONTRIBUTING.md', 30],
  ])('%s names only paths that exist', (page, least) => {
    const named = pathsIn(readFileSync(join(root, page), 'utf8'));
    expect(named.length).toBeGreaterThan(least);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('would notice a path that does not exist', () => {
    expect(pathsIn('see `src/live/gone.ts`, `docs/gone.md`, `.ci/gone` and `npm run gone`')).toEqual([
      'src/live/gone.ts',
      'docs/gone.md',
      '.ci/gone',
    ]);
  });

  it.each(pages)('%s has no broken links', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)];
    const broken = links.filter(([, path = '', anchor]) => {
      const target = path === '' ? join(root, page) : join(root, dirname(page), path);
      return !existsSync(target) || (anchor !== undefined && !anchorsOf(target).has(anchor));
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});

describe('the help of every command', () => {
  it.each(all.map((command) => [command.name, command] as const))('%s: has examples, which use it', (name, command) => {
    expect(command.examples.length).toBeGreaterThan(0);
    for (const example of command.examples) {
      const line = example.replace(/\s+#.*/, '');
      expect(line).toContain(name);
      expect(unknownOptions(line), line).toEqual([]);
    }
  });
});

describe('/help', () => {
  it('lists every slash command on a line with its description', async () => {
    await using place = await makePlace();
    const { stdout } = await place.run(['--model', 'demo/echo'], { input: '/help\n' });
    const lines = stdout.trimEnd().split('\n');
    const seen = lines.map((line) => /^ {2}(\S.*?) {2,}(\S.*)$/.exec(line)?.slice(1));
    expect(seen).toEqual(slashDocs().map((row) => [...row]));
    expect(seen.length).toBeGreaterThan(10);
  });
});

describe('the man page', () => {
  const page = readFileSync(join(root, 'docs/coffer.1'), 'utf8');

  it('is the one that package.json names', () => {
    const { man } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { man: string };
    expect(readFileSync(join(root, man), 'utf8')).toBe(page);
  });

  it('begins with a title and has the sections of a man page in their order', () => {
    const sections = [...page.matchAll(/^\.SH (.*)$/gm)].map(([, name]) => name);
    const wanted = [
      'NAME',
      'SYNOPSIS',
      'DESCRIPTION',
      'OPTIONS',
      'COMMANDS',
      'SLASH COMMANDS',
      'ENVIRONMENT',
      'FILES',
      'EXIT STATUS',
      'EXAMPLES',
      'SEE ALSO',
    ];
    expect(sections).toEqual(wanted);
    expect(page).toMatch(/^\.\\".*\n\.TH COFFER 1 /);
    expect(page.match(/^\.[A-Za-z]*/gm)?.filter((macro) => !/^\.(TH|SH|SS|TP|PP|B|EX|EE)?$/.test(macro))).toEqual([]);
    expect(page).not.toMatch(/[^\n\x20-\x7e]/);
  });

  it('is shown by man without a warning', (context) => {
    const { status, stdout, stderr, error } = spawnSync('man', ['--warnings', '-l', join(root, 'docs/coffer.1')], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', MANWIDTH: '80' },
    });
    if (error !== undefined) return context.skip('man is not installed');
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('COFFER(1)');
  });
});

function check(at: string, env: NodeJS.ProcessEnv = process.env): [number | null, string] {
  const { status, stderr } = spawnSync(process.execPath, [join(at, 'tools/docs.ts'), '--check'], {
    encoding: 'utf8',
    env,
  });
  return [status, stderr];
}

/** Copies the sources of the documents, so that a test can change them. */
function copyRepository(): string {
  const at = temporaryFolder();
  for (const name of [
    'src',
    'native-fallback',
    'tools',
    'bench',
    'docs',
    'test/providers',
    'README.md',
    'package.json',
    'tsconfig.json',
  ]) {
    // The packages of a suite may be installed, and are large.
    cpSync(join(root, name), join(at, name), { recursive: true, filter: (path) => !path.endsWith('node_modules') });
  }
  symlinkSync(join(root, 'node_modules'), join(at, 'node_modules'));
  return at;
}

function edit(path: string, from: string, to: string): void {
  const text = readFileSync(path, 'utf8');
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

/** Returns the paths of this repository that a page names in code, without duplicates. */
function pathsIn(page: string): string[] {
  const named = page.matchAll(
    /`((?:src|test|tools|docs|bench|native-fallback|\.ci|\.github)\/[^`\s]*|[\w.]+\.(?:json|ts|md))`/g,
  );
  return [...new Set([...named].map(([, path = '']) => path))];
}

/** Returns the anchors of a page's headings, as GitHub makes them. */
function anchorsOf(path: string): Set<string> {
  const headings = readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Returns the options in a shell line that its coffer commands don't have. */
function unknownOptions(line: string): string[] {
  return line
    .split(/[|;]|<\(/)
    .filter((part) => /^\s*coffer\b/.test(part))
    .flatMap((part) => {
      const bare = part.replaceAll(/'[^']*'|"[^"]*"/g, 'quoted').replace(/[>)].*/, '');
      const words = bare.trim().split(/\s+/);
      const has = optionsOf(words);
      return words.filter((word) => /^-[-a-z]/.test(word) && !has.has(word.replace(/=.*/, '')));
    });
}

function optionsOf(words: readonly string[]): Set<string> {
  const deepest = [3, 2]
    .map((count) => words.slice(0, count).join(' '))
    .find((name) => all.some((each) => each.name === name));
  const commands: CommandDoc[] = all.filter(({ name }) => name === 'coffer' || name === deepest);
  return new Set(commands.flatMap(({ options }) => options.flatMap(([term]) => term.match(/--?[a-z][a-z-]*/g) ?? [])));
}
