import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';
import type { Terminal } from '../support/pty.ts';

const repository = join(import.meta.dirname, '..', '..');
const readme = readFileSync(join(repository, 'README.md'), 'utf8');

/** The fenced blocks of a language, in order. */
function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, body = '']) => body);
}

/** One thing that a dialogue shows or does. */
type Move =
  | { does: 'start'; args: string[] }
  | { does: 'type'; line: string }
  | { does: 'kill' }
  | { does: 'show'; shown: string };

/** Reads a dialogue: `$ coffer …` starts, `» …` types, `Killed` kills, ctrl+d ends each, and everything else is what must be seen. */
function moves(block: string): Move[] {
  const found: Move[] = [];
  for (const line of block.split('\n')) {
    const last = found.at(-1);
    if (line.startsWith('$ coffer')) found.push({ does: 'start', args: line.split(' ').slice(2) });
    else if (line === '» ^D') continue;
    else if (line.startsWith('» ')) found.push({ does: 'type', line: line.slice(2) });
    else if (line === 'Killed') found.push({ does: 'kill' });
    else if (last?.does === 'show') last.shown += `\n${line}`;
    else if (line !== '') found.push({ does: 'show', shown: line });
  }
  return found;
}

/** What is shown as a pattern: spaces as the terminal breaks them, ids and the home of the key as they are here. */
function pattern(shown: string): RegExp {
  const words = shown
    .trim()
    .split(/\s+/)
    .map((word) =>
      word
        .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
        .replace(/\d{4}-\d\d-\d\d_\d\d-\d\d/, '\\d{4}-\\d\\d-\\d\\d_\\d\\d-\\d\\d(-\\d+)?'),
    );
  return new RegExp(
    words.join('\\s+').replace('in\\s+the\\s+keychain\\s+\\(gnome-keyring\\)', 'from the inherited descriptor'),
  );
}

async function play(place: Place, dialogue: Move[]): Promise<void> {
  let terminal: Terminal | undefined;
  for (const move of dialogue) {
    if (move.does === 'start') terminal = place.terminal(move.args);
    if (!terminal) throw new Error('the dialogue does not begin with $ coffer');
    if (move.does === 'show') await terminal.waitFor(pattern(move.shown));
    if (move.does === 'kill') {
      await terminal.waitFor(/» /);
      terminal.kill('SIGKILL');
      expect(await terminal.exit).toEqual({ code: null, signal: 'SIGKILL' });
    }
    if (move.does === 'type') {
      await terminal.waitFor(/» $/);
      terminal.enter(move.line);
    }
  }
  await terminal?.waitFor(/» $/);
  terminal?.key('ctrl+d');
  expect(await terminal?.exit).toEqual({ code: 0, signal: null });
}

describe('README', () => {
  const dialogues = blocks('console');

  it('shows dialogues that happen as they stand', async () => {
    await using place = await makePlace();
    expect(dialogues).toHaveLength(3);
    const [crash = '', first = '', piped = ''] = dialogues;
    await play(place, moves(crash));
    await play(place, moves(first));
    const [command = '', ...shown] = piped.trimEnd().split('\n');
    expect(command).toBe('$ coffer --model demo/echo < lines.txt');
    const { stdout, code } = await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    expect({ stdout: stdout.trimEnd().split('\n'), code }).toEqual({ stdout: shown, code: 0 });
  });

  it('would notice a dialogue that does not happen', async () => {
    await using place = await makePlace();
    const wrong: Move[] = [
      { does: 'start', args: ['--model', 'demo/echo'] },
      { does: 'type', line: 'hello' },
      { does: 'show', shown: 'echo: goodbye' },
    ];
    const played = play(place, [...wrong.slice(0, 2), { does: 'type', line: '/exit' }, ...wrong.slice(2)]);
    await expect(played).rejects.toThrow('before');
  });

  it('has an example of the library that runs, in at most fifteen lines', async () => {
    await using place = await makePlace();
    const [example = '', ...others] = blocks('ts');
    expect(others).toEqual([]);
    const lines = example.split('\n').filter((line) => line !== '');
    expect(lines.length).toBeLessThanOrEqual(15);
    const path = join(place.project, 'example.ts');
    writeFileSync(path, example.replace("'coffer'", JSON.stringify(join(repository, 'src', 'index.ts'))));
    const child = spawn(process.execPath, [path], {
      cwd: place.project,
      env: { PATH: place.env['PATH'], COFFER_DATA_DIR: place.data, ...place.libraryEnv },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    expect((await text(child.stdout)).split('\n')).toEqual([
      expect.stringMatching(/^1 _autosave 2$/),
      expect.stringMatching(/^2 \S+_first look 2$/),
      'a key',
      '',
    ]);
  });

  it('names every exit code that errors have', async () => {
    const { exits } = await import('../../src/cli/main.ts');
    const table = readme.slice(readme.indexOf('## Error codes'), readme.indexOf('## Limits'));
    for (const code of new Set(Object.values(exits))) expect(table).toMatch(new RegExp(`(\\| |· )${code} `));
  });
});
