import { describe, expect, it } from 'vitest';
import type { Describe } from '../../src/cli/program/describe.ts';
import { groups, likelyGroups } from '../../src/cli/program/groups.ts';
import { describeProgram } from '../../src/cli/program.ts';
import { plainly } from '../../src/cli/run.ts';
import { Terminal } from '../../src/terminal/terminal.ts';

const surroundings = { terminal: new Terminal(), env: {}, leave: (): void => undefined, exitOf: () => 1 };

describe('the groups of commands', () => {
  it('name what they describe', async () => {
    for (const { names, load } of groups) {
      const program = describeProgram(surroundings, () => undefined, [await load()]);
      expect(program.commands.map((command) => command.name())).toEqual(names);
    }
  });

  it.each([
    [['sessions'], 1],
    [['--model', 'demo/echo', 'sessions', '--json'], 1],
    [['resume', 'export'], 2],
    [['-p', 'config'], 1],
    [[], 0],
    [['-c'], 0],
    [['frobnicate'], 0],
  ])('of %j are so many', async (args, count) => {
    expect(await likelyGroups(args)).toHaveLength(count);
  });

  it.each([[['--help']], [['sessions', '-h']], [['-lh']], [['completion', 'bash']], [['complete', '--', 'ses']]])(
    'of %j are all',
    async (args) => {
      expect(await likelyGroups(args)).toBeUndefined();
    },
  );
});

describe('a command line that takes no parser', () => {
  const words = ['--model', '--path', '--data-dir', 'demo/echo', 'x', 'sessions', '-c', '--json', '-', '--model=x', ''];
  const lines = [[], ...words.map((one) => [one]), ...pairs(words), ...pairs(words).flatMap(threes), ...fours()];

  it('says to commander what is taken for granted without it', async () => {
    const all = await Promise.all(groups.map(({ load }) => load()));
    const understood = lines.filter((args) => plainly(args) !== undefined);
    expect(understood.length).toBeGreaterThan(50);
    for (const args of understood) expect([args, plainly(args)]).toEqual([args, await parsed(args, all)]);
  });

  it('leaves the rest to commander', () => {
    const rest = [
      ['sessions', '--json'],
      ['-c'],
      ['--model'],
      ['--model', '-c'],
      ['--model', ''],
      ['x'],
      [''],
      ['resume'],
    ];
    for (const args of rest) expect([args, plainly(args)]).toEqual([args, undefined]);
  });

  function pairs(of: readonly string[]): string[][] {
    return of.flatMap((first) => of.map((second) => [first, second]));
  }

  function threes(pair: readonly string[]): string[][] {
    return words.map((word) => [...pair, word]);
  }

  function fours(): string[][] {
    const [options, values] = [words.slice(0, 3), ['demo/echo', 'sessions', 'x']];
    const taken = options.flatMap((option) => values.map((value) => [option, value]));
    const both = taken.flatMap((one) => taken.map((other) => [...one, ...other]));
    return [...both, ...both.map((args) => [...args, 'sessions'])];
  }
});

/** What commander takes a command line for. */
async function parsed(args: readonly string[], all: readonly Describe[]): Promise<unknown> {
  const program = describeProgram(surroundings, () => undefined, all);
  const seen: unknown[] = [];
  for (const command of [program, ...program.commands]) {
    command.action(() => {
      const isChat = command === program;
      expect(isChat ? {} : command.opts()).toEqual({});
      seen.push({ command: isChat ? 'chat' : command.name(), options: program.opts() });
    });
  }
  await program.parseAsync([...args], { from: 'user' });
  expect(seen).toHaveLength(1);
  return seen[0];
}
