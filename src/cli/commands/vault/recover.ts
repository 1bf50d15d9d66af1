import type { CofferError } from '../../../errors.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Input } from '../../../terminal/input/input.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { Recovered } from '../../../vault/keys/recover.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { firstLine, openSessions } from '../../shell.ts';

/** `coffer recover` */
export const recoverCommand: CommandSpec<[]> = {
  name: 'recover',
  description: 'open a vault copied from another machine with a recovery code or a passphrase',
  examples: ['coffer recover'],
  run,
};

/**
 * Brings the key of a vault that was copied here to this machine, using a recovery code or a
 * passphrase. Asks for either, hidden; without a terminal, uses a passphrase from
 * COFFER_PASSPHRASE_FILE, then the first line of stdin. Returns why vault.json is not trusted, if
 * it isn't, after printing it. Throws `RECOVERY_CODE_WRONG`, `PASSPHRASE_WRONG`, `KEY_*`, `FAILED`
 * if there is no vault, `NOT_SAVED`, `UNAUTHENTIC`.
 */
async function run(shell: Shell): Promise<CofferError | undefined> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const recovered = await sessions.keys.recover({ askSecret: asker(shell, input) });
    tellRecovered(terminal, recovered);
    if (recovered.by !== 'at hand') await tellSessions(terminal, sessions);
    return sessions.keys.record.distrust;
  } finally {
    input.close();
  }
}

function asker(shell: Shell, input: Input): (problem: CofferError | undefined) => Promise<string | undefined> {
  const { terminal } = shell;
  let asked = false;
  return async (problem) => {
    if (terminal.interactive) {
      if (problem) terminal.tell(problem.message);
      return input.ask('recovery code or passphrase: ', { hidden: true });
    }
    if (asked) return undefined;
    asked = true;
    return firstLine(shell, input);
  };
}

function tellRecovered(terminal: Terminal, { by, unlocked, isPassphraseNew, missing }: Recovered): void {
  const isKept = unlocked.backend !== 'passphrase';
  if (by === 'at hand') {
    const how = isKept ? `its key is available (${unlocked.provider})` : 'with that passphrase';
    terminal.say(`this vault already opens here, ${how}; nothing was changed`);
  } else if (isKept) terminal.say(`the key is now in the keychain of this machine (${unlocked.provider})`);
  else {
    const what = isPassphraseNew ? 'the new passphrase' : 'that passphrase';
    terminal.say(`the vault now opens with ${what}, not from a keychain`);
  }
  if (missing !== undefined)
    terminal.tell(
      `a rotation was not finished: files that still need key ${missing} open only on the machine where it began`,
    );
}

async function tellSessions(terminal: Terminal, sessions: Sessions): Promise<void> {
  const rows = await sessions.list();
  const broken = rows.filter(({ unreadable }) => unreadable !== undefined).length;
  terminal.say(`${rows.length - broken} of ${rows.length} sessions and snapshots can be opened`);
  if (broken > 0) terminal.tell('run coffer doctor to see what is wrong with the others');
}
