import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';
import type { Terminal } from '../support/pty.ts';

const repository = join(import.meta.dirname, '..', '..');
const readme = readFileSync(join(repository, 'README.md'), 'utf8');
const troubleshooting = readFileSync(join(repository, 'docs', 'troubleshooting.md'), 'utf8');

/** Returns the fenced code blocks of a language in a page, in order. */
function blocks(language: string, page: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, body = '']) => body);
}

/** One step of a dialogue: an action, or an output to expect. */
type Move =
  | { does: 'start'; args: string[]; env: Record<string, string> }
  | { does: 'type'; before: string; line: string }
  | { does: 'press'; before: string; key: string }
  | { does: 'kill' | 'leave' | 'lose' | 'bring back' | 'hold' | 'answer' }
  | { does: 'set'; settings: string }
  | { does: 'write'; name: string; line: string }
  | { does: 'end'; code: number }
  | { does: 'show'; shown: string };

/**
 * Parses a dialogue line by line; any line that isn't a command, typing or a remark in parentheses
 * must appear verbatim.
 */
function moves(block: string): Move[] {
  const lines = block.trimEnd().split('\n');
  return lines.flatMap((line, at): Move[] => {
    const start = /^\$ ((?:\w+=\S+ )*)coffer(.*)$/.exec(line);
    if (start) return [{ does: 'start', env: assignments(start[1] ?? ''), args: (start[2] ?? '').split(' ').slice(1) }];
    if (line === '$ echo $?') return [{ does: 'end', code: Number(lines[at + 1]) }];
    if (lines[at - 1] === '$ echo $?' || line === '') return [];
    if (line === 'Killed') return [{ does: 'kill' }];
    if (line === '(in another terminal)') return [{ does: 'leave' }];
    if (line === '(the data directory goes away)') return [{ does: 'lose' }];
    if (line === '(it is back)') return [{ does: 'bring back' }];
    if (line === '(the keychain takes its time)') return [{ does: 'hold' }];
    if (line === '(the keychain answers)') return [{ does: 'answer' }];
    const settings = /^\(settings\.json is (.*)\)$/.exec(line);
    if (settings) return [{ does: 'set', settings: settings[1] ?? '' }];
    const file = /^\((\S+) has the line "(.*)"\)$/.exec(line);
    if (file) return [{ does: 'write', name: file[1] ?? '', line: file[2] ?? '' }];
    if (line === '» ^D') return [];
    const pressed = /^(allow\?.*:) (\w)[\w, ]*$/.exec(line);
    if (pressed) return [{ does: 'press', before: pressed[1] ?? '', key: pressed[2] ?? '' }];
    const answered = /^(.*\?) (\w+)$/.exec(line);
    if (answered) return [{ does: 'type', before: answered[1] ?? '', line: answered[2] ?? '' }];
    const typed = /^(.*)» (.+)$/.exec(line);
    if (typed) return [{ does: 'type', before: `${typed[1]}»`, line: typed[2] ?? '' }];
    if (!/passphrase:$/.test(line)) return [{ does: 'show', shown: line }];
    return [{ does: 'type', before: line, line: lines[at + 1] === 'wrong passphrase' ? 'wrong' : 'correct horse' }];
  });
}

function assignments(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]));
}

/**
 * Converts expected output to a pattern: allows the terminal's line breaks, and this run's ids,
 * times, processes and key location.
 */
function pattern(shown: string): RegExp {
  const words = shown
    .trim()
    .split(/\s+/)
    .map((word) =>
      RegExp.escape(word)
        .replace(/^.*\/settings\\\.json$/, '\\S+settings\\.json')
        .replace(
          /(?:\d|\\x3\d){4}(?:-|\\x2d)\d\d(?:-|\\x2d)\d\d_\d\d(?:-|\\x2d)\d\d/,
          '\\d{4}-\\d\\d-\\d\\d_\\d\\d-\\d\\d(-\\d+)?',
        )
        .replace(/^(?:\d|\\x3\d)\d(?::|\\x3a)\d\d/, '\\d\\d:\\d\\d')
        .replace(/^(?:4|\\x34)711$/, '\\d+'),
    );
  const home = ['in', 'the', 'keychain', '(gnome-keyring)'].map((word) => RegExp.escape(word)).join('\\s+');
  return new RegExp(words.join('\\s+').replace(home, 'from\\s+the\\s+inherited\\s+descriptor'));
}

async function play(place: Place, dialogue: readonly Move[]): Promise<void> {
  const left: Terminal[] = [];
  let terminal: Terminal | undefined;
  let isPrompted = false;
  let held: number | undefined;
  for (const [at, move] of dialogue.entries()) {
    if (move.does === 'set') writeFileSync(join(place.config, 'settings.json'), move.settings, { mode: 0o600 });
    if (move.does === 'write') writeFileSync(join(place.project, move.name), `${move.line}\n`);
    if (move.does === 'start') {
      if (terminal && !left.includes(terminal)) await leave(terminal);
      terminal = place.terminal(move.args, { env: move.env });
    }
    if (move.does === 'hold') held = holdKey(place);
    if (!terminal) continue;
    if (move.does === 'leave') left.push(terminal);
    if (move.does === 'lose' || move.does === 'bring back' || move.does === 'answer') {
      await waitForPrompt(terminal, dialogue[at + 1]);
      isPrompted = true;
    }
    if (move.does === 'answer' && held !== undefined) {
      writeSync(held, place.key);
      closeSync(held);
    }
    if (move.does === 'lose') renameSync(place.data, `${place.data}.away`);
    if (move.does === 'bring back') {
      rmSync(place.data, { recursive: true, force: true });
      renameSync(`${place.data}.away`, place.data);
    }
    if (move.does === 'press') {
      await terminal.waitFor(pattern(move.before));
      terminal.enter(move.key);
    }
    if (move.does === 'show') await terminal.waitFor(pattern(move.shown));
    if (move.does === 'end') expect(await terminal.exit).toEqual({ code: move.code, signal: null });
    if (move.does === 'kill') {
      await terminal.waitFor(/» /);
      terminal.kill('SIGKILL');
      expect(await terminal.exit).toEqual({ code: null, signal: 'SIGKILL' });
    }
    if (move.does === 'type') {
      if (!isPrompted) await waitForPrompt(terminal, move);
      isPrompted = false;
      terminal.enter(move.line);
    }
  }
  for (const open of new Set([...left, ...(terminal ? [terminal] : [])])) await leave(open);
}

/**
 * Replaces the key by a pipe that is silent, like a slow keychain, until the key is written to the
 * returned descriptor.
 */
function holdKey({ credentials }: Place): number {
  const path = join(credentials, 'coffer-key');
  rmSync(path);
  execFileSync('mkfifo', ['-m', '600', path]);
  return openSync(path, 'r+');
}

async function waitForPrompt(terminal: Terminal, typing: Move | undefined): Promise<void> {
  if (typing?.does !== 'type') throw new Error('nothing is typed at that prompt');
  await terminal.waitFor(new RegExp(`${pattern(typing.before).source} $`));
}

/** Ends a chat that still runs, at its prompt. */
async function leave(terminal: Terminal): Promise<void> {
  if (terminal.ending) return;
  await terminal.waitFor(/» $/);
  terminal.key('ctrl+d');
  expect(await terminal.exit).toEqual({ code: 0, signal: null });
}

describe('README', () => {
  const dialogues = blocks('console', readme);

  it('shows dialogues that really happen', async () => {
    expect(dialogues).toHaveLength(7);
    const [crash = '', first = '', piped = ''] = dialogues;
    await using place = await makePlace();
    await play(place, moves(crash));
    await play(place, moves(first));
    const [command = '', ...shown] = piped.trimEnd().split('\n');
    expect(command).toBe('$ coffer --model demo/echo < lines.txt');
    const { stdout, code } = await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    expect({ stdout: stdout.trimEnd().split('\n'), code }).toEqual({ stdout: shown, code: 0 });
  });

  it.each(dialogues.slice(3))('shows a dialogue that really happens: %#', async (dialogue) => {
    await using place = await makePlace();
    await play(place, moves(dialogue));
  });

  it('would notice a dialogue that does not happen', async () => {
    await using place = await makePlace();
    const wrong = moves('$ coffer --model demo/echo\n» hello\n» /exit\necho: goodbye\n');
    await expect(play(place, wrong)).rejects.toThrow('before');
    const code = moves('$ coffer resume 99\n$ echo $?\n11\n');
    await expect(play(place, code)).rejects.toThrow();
  });

  it('has an example of the library that runs, in at most fifteen lines', async () => {
    await using place = await makePlace();
    const [example = '', ...others] = blocks('ts', readme);
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

  it('begins with ten lines of a terminal, and reaches the first saved chat within twenty lines of the Install heading', () => {
    const [crash = '', first = ''] = dialogues;
    expect(crash.trimEnd().split('\n')).toHaveLength(10);
    expect(readme.split('\n').indexOf('```console')).toBeLessThan(5);
    const saved = readme.indexOf('session saved');
    const lines = readme.slice(readme.indexOf('## Install'), saved).split('\n');
    expect(lines.filter((line) => line !== '').length).toBeLessThanOrEqual(20);
    expect(readme.slice(saved)).toContain(first.slice(first.indexOf('session saved')));
  });

  it('names every exit code of the errors', async () => {
    const { exits } = await import('../../src/cli/main.ts');
    const table = readme.slice(readme.indexOf('## Errors'), readme.indexOf('## Limits'));
    for (const code of new Set(Object.values(exits))) expect(table).toMatch(new RegExp(`(\\| |· )${code} `));
  });
});

describe('docs/troubleshooting.md', () => {
  const dialogues = blocks('console', troubleshooting);

  it('has a dialogue for each of its headings', () => {
    expect(dialogues).toHaveLength(5);
    expect(troubleshooting.match(/^## /gm)).toHaveLength(5);
  });

  it.each(dialogues)('shows a dialogue that really happens: %#', async (dialogue) => {
    await using place = await makePlace();
    await play(place, moves(dialogue));
  });
});

describe('docs/commands.md', () => {
  it('has every command in its table, and no broken links', async () => {
    const { commandDocs, slashDocs } = await import('../../tools/docs-program.ts');
    const table = readFileSync(join(repository, 'docs', 'commands.md'), 'utf8');
    const reference = readFileSync(join(repository, 'docs', 'cli.md'), 'utf8');
    const anchors = new Set(
      [...reference.matchAll(/^## (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(' ', '-')),
    );
    const links = [...table.matchAll(/\(cli\.md#([\w-]+)\)/g)].map(([, anchor = '']) => anchor);
    expect(links.filter((anchor) => !anchors.has(anchor))).toEqual([]);
    const linked = new Set(links);
    const names = commandDocs().map(({ name }) => name.replaceAll(' ', '-'));
    const missing = names.filter((name) => !linked.has(name) && !/^coffer-(config-\w+|key)$/.test(name));
    expect(missing).toEqual([]);
    const slash = slashDocs().map(([usage]) => usage.split(' ')[0] ?? '');
    expect(slash.filter((name) => name !== '//text' && !table.includes(`\`${name}`))).toEqual([]);
  });
});
