import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { CofferError } from '../../src/errors.ts';
import { FakeTerminal, runHere } from '../cli/fake-terminal.ts';
import type { Subject } from './bad-input-states.ts';

/** One way to call coffer on a vault. */
export interface Command {
  readonly name: string;
  args(subject: Subject): string[];
  readonly input?: string;
  /** It has a process of its own: a chat takes the signals of its process. */
  readonly apart?: true;
}

/** How it ended; `stack` where it was no error that coffer knows. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly bug?: string | undefined;
}

/** Every command there is: a new one is a line here. */
export const commands: readonly Command[] = [
  { name: 'chat', args: () => ['--model', 'demo/echo'], input: 'hello\n', apart: true },
  { name: 'sessions', args: () => ['sessions'] },
  { name: 'resume', args: ({ fileId }) => ['resume', fileId], apart: true },
  { name: 'export', args: ({ fileId }) => ['export', fileId] },
  { name: 'doctor', args: () => ['doctor'] },
  { name: 'salvage', args: ({ fileId }) => ['salvage', fileId] },
  { name: 'key list', args: () => ['key', 'list'] },
  { name: 'key recovery-code', args: () => ['key', 'recovery-code'] },
  { name: 'key add-passphrase', args: () => ['key', 'add-passphrase'], input: 'secret\n' },
  { name: 'key remove', args: ({ slot }) => ['key', 'remove', slot] },
  { name: 'key rotate', args: () => ['key', 'rotate', '--drop-slots'] },
  { name: 'recover', args: () => ['recover'], input: 'nothing\n' },
  { name: 'purge', args: ({ fileId }) => ['purge', fileId, '--yes', '--drop-slots'] },
];

/** Runs a command to its end. */
export async function end(command: Command, subject: Subject, env: Record<string, string>): Promise<Ended> {
  return command.apart
    ? endApart(command, subject, env)
    : endHere(command, subject, { ...env, COFFER_DATA_DIR: subject.vault });
}

/** The same in a process of its own, under `launcher`. */
export async function endApart(
  command: Command,
  subject: Subject,
  env: Record<string, string>,
  launcher: readonly string[] = [],
): Promise<Ended> {
  const main = join(import.meta.dirname, '../../src/cli/main.ts');
  const [file = '', ...args] = [...launcher, process.execPath, main, ...command.args(subject)];
  const child = spawn(file, args, {
    env: { PATH: process.env['PATH'], ...env, COFFER_DATA_DIR: subject.vault },
    timeout: 30_000,
  });
  child.stdin.on('error', () => undefined); // it ended before it read anything
  child.stdin.end(command.input ?? '');
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: code as number | null, out, err, bug: /this is a bug|\n\s+at /.test(err) ? err : undefined };
}

async function endHere(command: Command, subject: Subject, env: Record<string, string>): Promise<Ended> {
  const fake = new FakeTerminal();
  const running = runHere(fake, command.args(subject), env);
  fake.stdin.end(command.input ?? '');
  const { code, error } = await running;
  const bug = error !== undefined && !(error instanceof CofferError) ? (error as Error).stack : undefined;
  return { code, out: fake.out, err: fake.err, bug };
}
