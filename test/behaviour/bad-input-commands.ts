import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { CofferError } from '../../src/errors.ts';
import { HANGS } from '../support/patience.ts';
import { PROGRAM } from '../support/program.ts';
import { FakeTerminal, runHere } from '../terminal/fake-terminal.ts';
import type { Subject } from './bad-input-vault.ts';

/**
 * The way a command uses a vault. Commands of one kind end alike on a bad vault. `list` looks at
 * every session, `read` at one; `change` opens one and adds to it; `copy` reads one and makes
 * another; `begin` begins one; `turn` finds one and continues it; `none` needs no vault; `own` fits
 * no other kind.
 */
export type Kind = 'list' | 'read' | 'change' | 'copy' | 'begin' | 'turn' | 'none' | 'own';

/** One way to call coffer on a vault. */
export interface Command {
  readonly name: string;
  readonly kind: Kind;
  args(subject: Subject): string[];
  readonly input?: string;
  /** Set if the command needs its own process: a chat handles the signals of its process. */
  readonly apart?: true;
}

/** The end of a command; `bug` if it failed with an error that isn't coffer's. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly bug?: string | undefined;
}

const echo = ['--model', 'demo/echo'];

/** Every command of coffer. Add a line here for a new one. */
export const commands: readonly Command[] = [
  { name: 'chat', kind: 'begin', args: () => echo, input: 'hello\n', apart: true },
  { name: 'resume', kind: 'change', args: ({ fileId }) => ['resume', fileId], apart: true },
  { name: '-c', kind: 'turn', args: ({ about }) => ['-c', '--path', about, '-p', 'x', ...echo] },
  { name: '-r', kind: 'turn', args: () => ['-r', '-p', 'x', ...echo] },
  { name: '-p', kind: 'begin', args: () => ['-p', 'x', ...echo] },
  { name: '--incognito', kind: 'none', args: () => ['--incognito', '-p', 'x', ...echo] },
  { name: '-l', kind: 'list', args: ({ about }) => ['-l', '--path', about] },
  { name: 'sessions', kind: 'list', args: () => ['sessions'] },
  { name: 'sessions --search', kind: 'list', args: () => ['sessions', '--search', 'hello'] },
  { name: 'sessions --status', kind: 'list', args: () => ['sessions', '--status', 'failed'] },
  { name: 'stats', kind: 'list', args: () => ['stats'] },
  { name: 'prune --dry-run', kind: 'list', args: () => ['prune', '--dry-run', '--older-than', '1'] },
  { name: 'prune', kind: 'own', args: () => ['prune', '--yes', '--older-than', '1'] },
  { name: 'status', kind: 'read', args: ({ fileId }) => ['status', fileId] },
  { name: 'logs', kind: 'read', args: ({ fileId }) => ['logs', fileId] },
  { name: 'permissions', kind: 'read', args: ({ fileId }) => ['permissions', fileId] },
  { name: 'export', kind: 'read', args: ({ fileId }) => ['export', fileId] },
  { name: 'export as JSONL', kind: 'read', args: ({ fileId }) => ['export', fileId, '--format', 'jsonl'] },
  { name: 'pin what is pinned', kind: 'read', args: ({ fileId }) => ['pin', fileId] },
  { name: 'unarchive what is not archived', kind: 'read', args: ({ fileId }) => ['unarchive', fileId] },
  { name: 'unpin', kind: 'change', args: ({ fileId }) => ['unpin', fileId] },
  { name: 'archive', kind: 'change', args: ({ fileId }) => ['archive', fileId] },
  { name: 'rename', kind: 'change', args: ({ fileId }) => ['rename', fileId, 'another name'] },
  { name: 'tag', kind: 'change', args: ({ fileId }) => ['tag', fileId, 'new'] },
  { name: 'untag', kind: 'change', args: ({ fileId }) => ['untag', fileId, 'old'] },
  { name: 'rewind', kind: 'change', args: ({ fileId }) => ['rewind', fileId, '1'] },
  { name: 'redact', kind: 'change', args: ({ fileId }) => ['redact', fileId], input: 'hello\n' },
  { name: 'compact', kind: 'change', args: ({ fileId }) => ['compact', fileId, ...echo] },
  { name: 'save', kind: 'copy', args: ({ fileId }) => ['save', fileId, 'another snapshot'] },
  { name: 'fork', kind: 'copy', args: ({ fileId }) => ['fork', fileId, '1'] },
  { name: 'import', kind: 'own', args: ({ exported }) => ['import', exported] },
  { name: 'delete', kind: 'own', args: ({ fileId }) => ['delete', fileId, '--yes'] },
  { name: 'doctor', kind: 'own', args: () => ['doctor'] },
  { name: 'salvage', kind: 'own', args: ({ fileId }) => ['salvage', fileId] },
  { name: 'key list', kind: 'own', args: () => ['key', 'list'] },
  { name: 'key recovery-code', kind: 'own', args: () => ['key', 'recovery-code'] },
  { name: 'key add-passphrase', kind: 'own', args: () => ['key', 'add-passphrase'], input: 'secret\n' },
  { name: 'key remove', kind: 'own', args: ({ slot }) => ['key', 'remove', slot] },
  { name: 'key rotate', kind: 'own', args: () => ['key', 'rotate', '--drop-slots'] },
  { name: 'recover', kind: 'own', args: () => ['recover'], input: 'nothing\n' },
  { name: 'purge', kind: 'own', args: ({ fileId }) => ['purge', fileId, '--yes', '--drop-slots'] },
  { name: 'models', kind: 'none', args: () => ['models'] },
  { name: 'config list', kind: 'none', args: () => ['config', 'list'] },
  { name: 'completion', kind: 'none', args: () => ['completion', 'bash'] },
  { name: 'complete', kind: 'none', args: () => ['complete', '--', 'export', ''] },
];

/** Returns whether a command only reads, whatever its outcome. */
export function isReader({ name, kind }: Command): boolean {
  return ['list', 'read', 'none'].includes(kind) || ['doctor', 'key list', 'recover'].includes(name);
}

/** Runs a command to its end. */
export async function end(command: Command, subject: Subject, env: Record<string, string>): Promise<Ended> {
  return command.apart
    ? endApart(command, subject, env)
    : endHere(command, subject, { ...env, COFFER_DATA_DIR: subject.vault });
}

/** Like `end`, but in a separate process under `launcher`. */
export async function endApart(
  command: Command,
  subject: Subject,
  env: Record<string, string>,
  launcher: readonly string[] = [],
): Promise<Ended> {
  const [file = '', ...args] = [...launcher, process.execPath, PROGRAM, ...command.args(subject)];
  // Another user can't write to the coverage folder, and Node would print a warning.
  const quiet = launcher.length === 0 ? {} : { NODE_V8_COVERAGE: '' };
  const child = spawn(file, args, {
    env: { PATH: process.env['PATH'], ...env, ...quiet, COFFER_DATA_DIR: subject.vault },
    timeout: HANGS,
  });
  child.stdin.on('error', () => undefined); // the process ended before it read its input
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
