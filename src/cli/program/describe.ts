import type { Command } from 'commander';
import type { CofferError } from '../../errors.ts';
import type { Shell } from '../shell.ts';

/** What the description of a command is given. */
export interface Given {
  /** The shell with the options that stand before the command. */
  shell(): Shell;
  /** Gets what a command ended with, where that is told already. */
  onTold(error: CofferError | undefined): void;
}

/** Adds commands to the command line. */
export type Describe = (program: Command, given: Given) => void;

/** Shows how a command is used, at the end of its help. */
export function example(command: Command, ...lines: readonly string[]): Command {
  examples.set(command, lines);
  return command.addHelpText('after', `\nfor example:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

/** The examples of a command, for the documents that are made of its help. */
export function examplesOf(command: Command): readonly string[] {
  return examples.get(command) ?? [];
}

const examples = new WeakMap<Command, readonly string[]>();
