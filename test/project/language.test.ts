import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bans, hitsIn, piecesOf } from '../../tools/language.ts';
import { temporaryFolder } from '../support/vault.ts';

/** For each ban, a sentence that it must catch and one that it must let pass. */
const sentences: Readonly<Record<keyof typeof bans, readonly [caught: string, passed: string]>> = {
  'a comment that begins with a question word': ['What a turn may be told.', 'Returns what the turn recorded.'],
  'a comment that begins with Gives': ['Gives the key of the vault.', 'Returns the key that the user gives.'],
  'a where that means if': ['A default where nothing is set.', 'The folder where sessions are kept.'],
  'unless told': ['Shows 20 rows unless told which.', 'Shows 20 rows unless a filter is set.'],
  anew: ['The file is sealed anew.', 'The file has a new key.'],
  besides: ['Ways to open it besides the keychain.', 'The settings are stored beside the vault.'],
  'nobody and somebody': ['Nobody is there to answer.', 'The answer is recorded as `nobody`.'],
  'the person': ['It was denied by the person.', 'A person may own several vaults.'],
  'by itself': ['It is repaired by itself.', 'It is repaired by the next save itself.'],
  'is no X': ['A device is no regular file.', 'There is no device, and it is no longer a file.'],
  'goes on': ['The chat goes on with the next.', 'The chat continues, and the light is on.'],
  'comes by': ['It comes by the key of the vault.', 'The answer comes before the question.'],
  'takes up': ['The search takes up the rest.', 'The save takes at most up to a second.'],
  'at hand': ['The key is at hand.', 'The text is written by hand.'],
  'so many': ['At most so many rows.', 'There are so many that it is slow, and not so many as before.'],
  'what there is': ['It continues with what there is.', 'It continues with what is recorded.'],
  'is told': ['A failure is told.', 'The model is told which files it may read.'],
  'ways in': ['Two ways in: a code and a passphrase.', 'The ways in which a chat can end.'],
  'for want of': ['It failed for want of memory.', 'It failed because no memory was left.'],
};

describe('a ban', () => {
  it.each(Object.entries(bans))('on %s catches its sentence, and lets another pass', (name, { inDocComments }) => {
    const [caught, passed] = sentences[name] ?? ['', ''];
    const hits = (sentence: string): string[] =>
      (inDocComments ? hitsIn('a.ts', `/** ${sentence} */`) : hitsIn('a.md', `${sentence}\n`)).map(({ ban }) => ban);
    expect(hits(caught)).toContain(name);
    expect(hits(passed)).toEqual([]);
  });

  it('has both sentences, a reason, and what to write instead', () => {
    expect(Object.keys(sentences)).toEqual(Object.keys(bans));
    for (const { reason, instead } of Object.values(bans)) expect([reason, instead]).not.toContain('');
  });
});

describe('in Markdown', () => {
  it('finds a construction that spans lines, and names its line', () => {
    expect(hitsIn('a.md', '# Title\n\nThe chat goes\non with the next.\n')).toEqual([
      { line: 3, ban: 'goes on', text: 'The chat goes on with the next.' },
    ]);
    expect(hitsIn('a.md', '- one\n- two is sealed\n  anew\n')).toMatchObject([{ line: 3 }]);
  });

  it.each([
    ['code', 'The value `anew` is set.\n'],
    ['a block of code', 'Run it:\n\n```console\n$ coffer anew\n```\n'],
    ['the address of a link', 'See [there](docs/anew.md).\n'],
    ['a generated section', '<!-- bench: made by npm run docs -->\nanew\n<!-- end of bench -->\n'],
    ['a generated table', '<!-- faults: begin -->\nanew\n<!-- faults: end -->\n'],
  ])('leaves %s alone', (_, content) => {
    expect(hitsIn('a.md', content)).toEqual([]);
    expect(hitsIn('a.md', `${content}\nIt is sealed anew.\n`)).toHaveLength(1);
  });
});

describe('in TypeScript', () => {
  it('reads comments and strings, but not code', () => {
    const source = [
      '/** Returns it. */',
      'const anew = /[\'"`]anew/;',
      '// one',
      '// two',
      `say('three', \`four \${anew}\`); /* five */`,
    ].join('\n');
    expect(piecesOf(source)).toEqual([
      { text: 'Returns it.', line: 1, kind: 'doc comment' },
      { text: 'one\ntwo', line: 3, kind: 'comment' },
      { text: 'three', line: 5, kind: 'string' },
      { text: 'four …', line: 5, kind: 'string' },
      { text: 'five', line: 5, kind: 'comment' },
    ]);
    expect(hitsIn('a.ts', source)).toEqual([]);
  });

  it('checks the beginning of doc comments, but not of others', () => {
    expect(hitsIn('a.ts', '/**\n * What it keeps.\n */')).toMatchObject([{ line: 2 }]);
    expect(hitsIn('a.ts', '/* What follows is generated. */')).toEqual([]);
  });

  it('lets exceptions of that file pass', () => {
    const content = "record({ by: 'nobody' });\nsay('nobody is there');\n";
    const allowed = [{ file: 'a.ts', text: 'nobody is there' }];
    expect(hitsIn('a.ts', content, allowed)).toMatchObject([{ line: 1 }]);
    expect(hitsIn('b.ts', content, allowed)).toHaveLength(2);
  });
});

describe('tools/language.ts', () => {
  const root = join(import.meta.dirname, '../..');

  it('fails naming the file and line of a hit, and counts hits in sources by folder', () => {
    const at = temporaryFolder();
    mkdirSync(join(at, 'tools'));
    cpSync(join(root, 'tools/language.ts'), join(at, 'tools/language.ts'));
    const run = (...args: string[]): [number | null, string] => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [join(at, 'tools/language.ts'), ...args], {
        encoding: 'utf8',
      });
      return [status, stdout + stderr];
    };
    const write = (path: string, text: string): void => {
      mkdirSync(join(at, dirname(path)), { recursive: true });
      writeFileSync(join(at, path), text);
    };
    write('README.md', 'It is sealed again.\n');
    expect(run()).toEqual([0, '']);
    write('README.md', '\nIt is sealed anew.\n');
    expect(run()).toEqual([1, expect.stringMatching(/^README\.md:\d: anew: "It is sealed anew\."; .*; write again/)]);
    write('src/vault/a.ts', '// sealed anew\n');
    write('src/vault/b.ts', '// sealed anew, anew\n');
    expect(run()).toEqual([1, expect.stringMatching(/^src\/vault\/b\.ts:1: anew/m)]);
    expect(run('--count')).toEqual([0, '    3  src/vault\n    3  in all\n']);
  });
});
