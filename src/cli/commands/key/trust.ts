import { CofferError } from '../../../errors.ts';
import type { TrustChange } from '../../../vault/keys/record/trust.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { kindOf } from './slots.ts';

/** `coffer key repair` */
export const repairCommand: CommandSpec<[]> = {
  name: 'repair',
  description: 'write a new vault.json if it is missing or something else changed it',
  examples: ['coffer key repair'],
  run: repair,
};

/** `coffer key trust` */
export const trustCommand: CommandSpec<[], { yes?: boolean }> = {
  name: 'trust',
  description: 'accept a different key for this vault directory, or that others can write to it',
  options: [{ flags: '--yes', description: 'skip the confirmation' }],
  examples: ['coffer key trust', 'coffer --data-dir /mnt/volume/coffer key trust --yes'],
  run: trust,
};

/**
 * Writes a new vault.json for the key that is known here, and names the slots that are lost.
 * Returns what is still wrong, after printing it: files that need another key. Throws `UNAUTHENTIC`
 * if the sealed files have another key, `FAILED` if there is no vault, `KEY_*`, `VAULT_BUSY`,
 * `NOT_SAVED`.
 */
async function repair(shell: Shell): Promise<CofferError | undefined> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    sessions.keys.record.requireVault();
    const repaired = await sessions.keys.record.repair();
    if (!repaired) {
      terminal.say('vault.json is intact; nothing was changed');
      return undefined;
    }
    const { key, lost, otherKeys } = repaired;
    terminal.say(`wrote a new vault.json for key ${key}`);
    for (const slot of lost) terminal.say(`slot ${slot.id} is lost (${kindOf(slot)}): it no longer opens the vault`);
    terminal.say('any other passphrase or recovery code that the vault had is lost, too');
    terminal.tell('coffer key recovery-code and coffer key add-passphrase make new ones');
    const problems = otherKeys.map((keyId) => new CofferError('KEY_OTHER', `some files need another key, ${keyId}`));
    for (const problem of problems) terminal.tell(problem.message);
    return problems[0];
  } finally {
    input.close();
  }
}

/**
 * Accepts the key that vault.json names, or that others can write to the directory, after a yes.
 * Throws `USAGE` without a terminal to confirm it on, `CANCELLED`, `UNAUTHENTIC` if vault.json is
 * damaged, `VAULT_BUSY`, `NOT_SAVED`.
 */
async function trust(shell: Shell, _: [], { yes = shell.options.yes }: { yes?: boolean }): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const { directory } = sessions;
    const change = await sessions.keys.record.changes();
    if (!change) {
      terminal.say(`nothing to accept for ${directory}`);
      return;
    }
    for (const line of describeChange(directory, change)) terminal.tell(line);
    if (yes !== true) {
      const advice = 'use --yes to accept it';
      if (!terminal.interactive) throw new CofferError('USAGE', 'no terminal to confirm on', { advice });
      const answer = await input.ask('accept this? [y/N] ');
      if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw new CofferError('CANCELLED', 'nothing is changed');
    }
    await sessions.keys.record.trust(change);
    terminal.say(`accepted for ${directory}`);
  } finally {
    input.close();
  }
}

function describeChange(directory: string, { key, known, access }: TrustChange): string[] {
  const lines: string[] = [];
  if (key !== undefined) {
    const before = known === undefined ? 'no key is known for it' : `the known key is ${known}`;
    lines.push(`${directory}: vault.json names key ${key}, but ${before}`);
    lines.push('once accepted, new sessions are sealed with it: anyone with that key can read them');
  }
  if (access !== undefined) {
    const mode = access.mode.toString(8);
    lines.push(`${directory}: owner ${access.uid}, mode ${mode}; anyone who can write to it can replace its files`);
  }
  return lines;
}
