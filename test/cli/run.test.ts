import { describe, expect, it } from 'vitest';
import { commandLine } from '../../src/cli/commands.ts';
import { wholeProgram } from '../../src/cli/program.ts';
import { plainly } from '../../src/cli/run.ts';
import { Terminal } from '../../src/terminal/output/terminal.ts';

describe('a command line that takes no parser', () => {
  const words = ['--model', '--path', '--data-dir', 'demo/echo', 'x', 'sessions', '-c', '--json', '-', '--model=x', ''];
  const lines = [[], ...words.map((one) => [one]), ...pairs(words), ...pairs(words).flatMap(threes), ...fours()];

  it('agrees with commander', async () => {
    const understood = lines.filter((args) => plainly(args) !== undefined);
    expect(understood.length).toBeGreaterThan(50);
    for (const args of understood) expect([args, plainly(args)]).toEqual([args, await parsed(args)]);
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
async function parsed(args: readonly string[]): Promise<unknown> {
  const program = await wholeProgram(commandLine, new Terminal());
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
