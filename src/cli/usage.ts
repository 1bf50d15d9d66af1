import type { Command, CommanderError } from 'commander';
import { nearest } from '../chat/models/nearest.ts';
import { CofferError } from '../errors.ts';

/**
 * Turns a commander error into a `USAGE` error that says what is wrong with the command line, and
 * what to do. `program` must have every command.
 */
export function usageError(error: CommanderError, program: Command): CofferError {
  const [first] = program.args;
  if (
    error.code === 'commander.excessArguments' &&
    first !== undefined &&
    program.commands.every((command) => command.name() !== first)
  ) {
    const near = nearest(
      first,
      program.commands.map((command) => command.name()),
    );
    const advice = near === undefined ? 'coffer --help lists them' : `did you mean ${near}?`;
    return new CofferError('USAGE', `unknown command ${first}`, { advice, cause: error });
  }
  if (error.code === 'commander.help') {
    const names = program.commands.find((command) => command.name() === first)?.commands ?? [];
    const message = `${first} needs a command: ${names.map((command) => command.name()).join(', ')}`;
    return new CofferError('USAGE', message, { advice: `coffer ${first} --help says more`, cause: error });
  }
  const asked = commandOf(program);
  if (error.code === 'commander.unknownCommand') {
    const [, unknown = ''] = /'(.*)'/s.exec(error.message) ?? [];
    const near = nearest(
      unknown,
      asked.commands.map((command) => command.name()),
    );
    const advice = near === undefined ? `${pathOf(asked)} --help lists them` : `did you mean ${near}?`;
    return new CofferError('USAGE', `unknown command ${asked.name()} ${unknown}`, {
      advice,
      cause: error,
    });
  }
  const message = error.message
    .replace(/^error: /, '')
    .replace(
      /^option '.*(--[a-z-]+) .*' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s,
      '$1 takes $3, not "$2"',
    )
    // The excess argument may be a secret.
    .replace(/( but got \d+): .*$/s, '$1')
    .replace(/^(unknown option '[^'=]*)=.*'/s, "$1'")
    .replace(/\.$/, '')
    .replace(/\. ([A-Z])/, (_, initial: string) => `; ${initial.toLowerCase()}`)
    .replace(/\n\(Did you mean (.*)\?\)$/, '; did you mean $1?');
  return new CofferError('USAGE', message, { advice: `${pathOf(asked)} --help shows how`, cause: error });
}

/** Returns the deepest command that the command line names. */
function commandOf(command: Command): Command {
  const next = command.commands.find((each) => each.name() === command.args[0]);
  return next === undefined ? command : commandOf(next);
}

/** `coffer config get` */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
