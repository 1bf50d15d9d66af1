import { CofferError } from '../../../errors.ts';
import type { Input } from '../../../terminal/input/input.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { SlotRow, WaysIn } from '../../../vault/keys/slots/key-slots.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { askPassphrase, firstLine, openSessions } from '../../shell.ts';

/** `coffer key recovery-code` */
export const recoveryCodeCommand: CommandSpec<[]> = {
  name: 'recovery-code',
  description: 'create a recovery code that opens the vault on any machine',
  examples: ['coffer key recovery-code'],
  run: makeRecoveryCode,
};

/** `coffer key add-passphrase` */
export const addPassphraseCommand: CommandSpec<[]> = {
  name: 'add-passphrase',
  description: 'add a passphrase, typed or read from the first line of standard input',
  examples: ['coffer key add-passphrase'],
  run: addPassphrase,
};

/** `coffer key list` */
export const listSlotsCommand: CommandSpec<[], { json?: boolean }> = {
  name: 'list',
  description: 'show where the key is kept, and which passphrases and recovery codes open the vault',
  options: [{ flags: '--json', description: 'print a JSON object' }],
  examples: ['coffer key list'],
  run: listSlots,
};

/** `coffer key remove` */
export const removeSlotCommand: CommandSpec<[slot: string]> = {
  name: 'remove',
  description: 'remove a passphrase or a recovery code, unless nothing else opens the vault',
  arguments: [{ syntax: '<slot>', description: 'slot id from coffer key list' }],
  examples: ['coffer key remove 3f2a91c0'],
  run: removeSlot,
};

/**
 * Creates a recovery code, shows it once, and adds it after it was typed back. Throws `USAGE`
 * without a terminal, because only the user may see the code. Throws `CANCELLED`,
 * `RECOVERY_CODE_WRONG`, `KEY_*`, `FAILED`, `NOT_SAVED`.
 */
async function makeRecoveryCode(shell: Shell): Promise<void> {
  const { terminal } = shell;
  if (!terminal.interactive) {
    throw new CofferError('USAGE', 'a recovery code is only shown on a terminal', {
      advice: 'run this on a terminal',
    });
  }
  const { sessions, input } = await openSessions(shell);
  try {
    const slot = await sessions.keys.slots.addRecoveryCode((code, problem) =>
      confirmOnTerminal(terminal, input, code, problem),
    );
    terminal.say(`recovery code added as slot ${slot.id}; coffer recover asks for it on a new machine`);
  } finally {
    input.close();
  }
}

/**
 * Shows a recovery code once, on the terminal only, and asks for it to be typed back, hidden.
 * Returns undefined at the end of input.
 */
export async function confirmOnTerminal(
  terminal: Terminal,
  input: Input,
  code: string,
  problem: CofferError | undefined,
): Promise<string | undefined> {
  if (problem) terminal.tell(`${problem.message}; try again`);
  else {
    terminal.tell('this code opens the vault on any machine; write it down, it is not shown again:');
    terminal.show(`\n  ${code}\n\n`);
  }
  return input.ask('type it back: ', { hidden: true });
}

/**
 * Adds a passphrase, asked for twice on a terminal, otherwise the first line of stdin. Throws
 * `USAGE`, `KEY_*`, `FAILED`, `NOT_SAVED`.
 */
async function addPassphrase(shell: Shell): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    sessions.keys.slots.list(); // throws if there is no vault; unlocking would create one
    await sessions.keys.unlock();
    const passphrase = terminal.interactive
      ? await askPassphrase(terminal, input, { purpose: 'new', attempt: 1 })
      : await firstLine(shell, input);
    if (!passphrase) {
      throw new CofferError('USAGE', 'no passphrase was given', {
        advice: 'type it on a terminal, or pipe it in as one line',
      });
    }
    const slot = await sessions.keys.slots.addPassphrase(passphrase);
    terminal.say(`passphrase added as slot ${slot.id}`);
  } finally {
    input.close();
  }
}

/**
 * Lists the key slots of the vault, as rows or as a JSON object, without unlocking it. Throws
 * `FAILED` if there is no vault.
 */
async function listSlots(shell: Shell, _: [], options: { json?: boolean }): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const ways = sessions.keys.slots.list();
    if (options.json === true) terminal.write(`${escapeJson(ways)}\n`);
    else showWays(shell, ways);
  } finally {
    input.close();
  }
}

/**
 * Removes a slot, and prints what it still opens. Throws `USAGE` if there is no such slot, `FAILED`
 * if nothing else opens the vault, `NOT_SAVED`.
 */
async function removeSlot(shell: Shell, [id]: [string]): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const slot = await sessions.keys.slots.remove(id);
    terminal.say(`slot ${slot.id} removed (${kindOf(slot)})`);
    const old = `anyone with an older copy of vault.json, such as a backup, can still open the vault with that ${kindOf(slot)}`;
    terminal.tell(`${old}; coffer key rotate prevents that for this vault, but not for existing copies`);
  } finally {
    input.close();
  }
}

function showWays({ terminal }: Shell, { key, retiring, backend, provider, slots }: WaysIn): void {
  const home =
    backend === 'passphrase' ? 'not in a keychain, protected by a passphrase' : `kept by ${backend} (${provider})`;
  terminal.say(`key: ${key}, ${home}`);
  if (retiring !== undefined) terminal.say(`  it is replacing ${retiring}; coffer key rotate finishes that`);
  terminal.say(`slots: ${slots.length === 0 ? 'none' : slots.length}`);
  for (const slot of slots) terminal.say(`  ${slot.id}  ${kindOf(slot)}`);
  if (slots.every(({ kind }) => kind !== 'recovery')) terminal.tell('coffer key recovery-code creates a recovery code');
}

/** Returns the name of a slot's kind. */
export function kindOf({ kind }: SlotRow): string {
  return kind === 'recovery' ? 'recovery code' : kind;
}
