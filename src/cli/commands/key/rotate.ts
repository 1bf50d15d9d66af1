import { relative } from 'node:path';
import { CofferError } from '../../../errors.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Input } from '../../../terminal/input/input.ts';
import { Progress } from '../../../terminal/output/progress.ts';
import type { Rotated } from '../../../vault/keys/rotation/rotate.ts';
import type { SlotRow } from '../../../vault/keys/slots/key-slots.ts';
import type { Rewrapping } from '../../../vault/keys/slots/rewrap.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { confirmOnTerminal } from './slots.ts';

/** `coffer key rotate` */
export const rotateCommand: CommandSpec<[], RotateFlags> = {
  name: 'rotate',
  description: 'replace the vault key and reseal everything with the new one',
  options: [
    { flags: '--drop-slots', description: 'without a terminal, drop slots instead of asking for their secrets' },
  ],
  examples: ['coffer key rotate'],
  run,
};

/** Options of a rotation. */
export interface RotateFlags {
  /** Drops slots whose secret can't be asked for. */
  readonly dropSlots?: boolean | undefined;
}

/**
 * Rotates the vault key and reseals everything, or resumes an interrupted rotation. Returns the
 * first problem, which was already printed: a file that still needs the old key. Throws
 * `SESSION_IN_USE`, `KEY_*`, `NEWER_VERSION`, `NOT_SAVED`, `FAILED`, `USAGE`.
 */
async function run(shell: Shell, _: [], options: RotateFlags): Promise<CofferError | undefined> {
  const { sessions, input } = await openSessions(shell);
  try {
    requireAnswers(shell, sessions, options);
    const finished = await resumeRotation(shell, sessions);
    if (finished) return tellRotated(shell, sessions, finished);
    return tellRotated(shell, sessions, await rotateWith(shell, sessions, input));
  } finally {
    input.close();
  }
}

/**
 * Resumes an interrupted rotation, and says so. Returns undefined if there is none. Throws as
 * `coffer key rotate`.
 */
export async function resumeRotation({ terminal }: Shell, sessions: Sessions): Promise<Rotated | undefined> {
  const progress = new Progress(terminal, 'resealing');
  let told = false;
  try {
    return await sessions.keys.finishRotation((done, total) => {
      if (!told) terminal.tell('resuming an interrupted key rotation');
      told = true;
      progress.show(done, total);
    });
  } finally {
    progress.end();
  }
}

/**
 * Checks that the secrets of all slots can be asked for. Throws `USAGE` if there is no terminal and
 * `dropSlots` is off.
 */
export function requireAnswers({ terminal, env }: Shell, sessions: Sessions, { dropSlots }: RotateFlags): void {
  const { slots } = sessions.keys.slots.list();
  const unanswered = slots.filter(({ kind }) => kind === 'recovery' || env['COFFER_PASSPHRASE_FILE'] === undefined);
  if (terminal.interactive || dropSlots === true || unanswered.length === 0) return;
  const advice = 'run it on a terminal, or use --drop-slots to drop them';
  throw new CofferError('USAGE', `no terminal to ask for ${unanswered.map(nameSlot).join(', ')}`, {
    advice,
  });
}

/**
 * Rotates the key, asking for the secrets of the new slots, and deletes `remove` in the same step.
 * Throws as `coffer key rotate`.
 */
export async function rotateWith(
  { terminal }: Shell,
  sessions: Sessions,
  input: Input,
  remove: readonly Row[] = [],
): Promise<Rotated> {
  const progress = new Progress(terminal, 'resealing');
  const asked: Rewrapping = {
    passphrase: async (slot, attempt) => {
      if (!terminal.interactive) return undefined;
      if (attempt > 1) terminal.tell('wrong passphrase');
      const typed = await input.ask(`${nameSlot(slot)} (empty to drop this slot): `, { hidden: true });
      return typed === '' ? undefined : typed;
    },
    confirmCode: async (code, problem) =>
      terminal.interactive ? confirmOnTerminal(terminal, input, code, problem) : undefined,
    onDropped: (slot) => terminal.tell(`${nameSlot(slot)} is dropped: it opens only older copies of the vault`),
  };
  try {
    return await sessions.keys.rotate(asked, { remove, onProgress: (done, total) => progress.show(done, total) });
  } finally {
    progress.end();
  }
}

/**
 * Prints the result of a rotation, and what still opens old copies, with `say` (default: stdout).
 * Returns the error of the first file that could not be resealed.
 */
export function tellRotated(
  { terminal }: Shell,
  sessions: Sessions,
  rotated: Rotated,
  say: (line: string) => void = (line) => terminal.say(line),
): CofferError | undefined {
  const { from, to, resealed, remaining, oldSlots } = rotated;
  say(`the vault has a new key, ${to}; ${resealed} ${resealed === 1 ? 'file' : 'files'} resealed`);
  if (remaining.length > 0) {
    for (const { path, error } of remaining) terminal.tell(`${relative(sessions.directory, path)}: ${error.message}`);
    const which =
      remaining.length === 1 ? "a file that can't be opened" : `${remaining.length} files that can't be opened`;
    const advice = 'salvage or remove them, then finish with coffer key rotate';
    terminal.tell(`the old key, ${from}, is kept for ${which}; ${advice}`);
    return remaining[0]?.error;
  }
  say(`the old key, ${from}, was removed from this machine`);
  const elsewhere = 'any other keychain that has the old key (another machine, a backup of this one)';
  say(`older copies of the vault still open with ${[...oldSlots.map(nameSlot), elsewhere].join(', ')}`);
  return undefined;
}

function nameSlot({ kind, id }: SlotRow): string {
  return `${kind === 'recovery' ? 'recovery code' : 'passphrase'} ${id}`;
}
