import { describe, expect, it } from 'vitest';
import { groups, likelyGroups } from '../../src/cli/program/groups.ts';
import { describeProgram } from '../../src/cli/program.ts';
import { Terminal } from '../../src/cli/terminal.ts';

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

describe('a command line without options', () => {
  it.each([[[]], [['sessions']]])('says to commander what is taken for granted without it: %j', async (args) => {
    const program = describeProgram(surroundings, () => undefined, await Promise.all(groups.map(({ load }) => load())));
    const seen: unknown[] = [];
    for (const command of [program, ...program.commands]) {
      command.action(() => void seen.push([command.name(), program.opts(), command.opts()]));
    }
    await program.parseAsync(args, { from: 'user' });
    expect(seen).toEqual([[args[0] ?? 'coffer', {}, {}]]);
  });
});
