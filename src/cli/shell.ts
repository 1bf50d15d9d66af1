import { isCofferError } from '../errors.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Settings } from '../settings/settings.ts';
import type { Input } from '../terminal/input/input.ts';
import type { Terminal } from '../terminal/output/terminal.ts';
import { tellWait } from '../terminal/waiting.ts';
import type { Shell } from './command.ts';

/** An open vault, with a user to ask for its passphrase. */
export interface Opened {
  readonly settings: Settings;
  readonly sessions: Sessions;
  readonly input: Input;
  /** Stops asking the user, so that no question interrupts a running chat. */
  stopAsking(): void;
}

/**
 * Reads the settings and opens their vault, without unlocking it yet. Throws `SETTINGS_INVALID`.
 */
export async function openSessions(shell: Shell): Promise<Opened> {
  const { terminal, env, options } = shell;
  const { loadSettings, settingsPath } = await import('../settings/settings.ts');
  const settings = await loadSettings(settingsPath(env), { env, options, directory: options.path ?? '.' });
  const { directory } = settings;
  const { incognito } = options;
  if (incognito !== true) await anticipate(env, directory);
  const [{ Input }, { sessionsOf }] = await Promise.all([
    import('../terminal/input/input.ts'),
    import('../session/open-vault.ts'),
  ]);
  const input = new Input(terminal);
  let asking = terminal.interactive;
  const sessions = sessionsOf({
    directory,
    autosave: settings.autoSave,
    incognito,
    env,
    askPassphrase: async (ask) => (asking ? askPassphrase(terminal, input, ask) : undefined),
    askProtection: async () => (asking ? askProtection(terminal, input) : 'memory'),
    onWait: (wait) => tellWait(terminal, wait),
    onDistrust: (error) => terminal.tell(error.message),
  });
  const stopAsking = (): void => {
    asking = false;
  };
  return { settings, sessions, input, stopAsking };
}

/**
 * Opens the vault for a command that changes it. If the change succeeded but its rollback mark
 * could not be written, reports that. Throws what `work` throws, and as {@link openSessions}.
 */
export async function changeVault(shell: Shell, work: (opened: Opened) => Promise<void>): Promise<void> {
  const opened = await openSessions(shell);
  try {
    await work(opened);
    const { unmarked } = opened.sessions.upkeep;
    if (unmarked !== undefined) shell.terminal.tell(`done, but ${unmarked.message}`);
  } finally {
    opened.input.close();
  }
}

async function anticipate(env: NodeJS.ProcessEnv, directory: string | undefined): Promise<void> {
  const { anticipateKey } = await import('../vault/keys/anticipate.ts');
  try {
    await anticipateKey(env, directory);
  } catch (error) {
    if (!isCofferError(error)) throw error; // an unreadable vault.json is reported by the code that needs it
  }
}

/** Asks for a passphrase, twice for a new one. Returns undefined at the end of input. */
export async function askPassphrase(
  terminal: Terminal,
  input: Input,
  ask: { purpose: 'open' | 'new'; attempt: number },
): Promise<string | undefined> {
  if (ask.purpose === 'open') {
    if (ask.attempt > 1) terminal.tell('wrong passphrase');
    return input.ask('passphrase: ', { hidden: true });
  }
  for (;;) {
    const first = await input.ask('new passphrase: ', { hidden: true });
    if (first === undefined) return undefined;
    const second = first === '' ? '' : await input.ask('repeat passphrase: ', { hidden: true });
    if (second === undefined) return undefined;
    if (first !== '' && first === second) return first;
    terminal.tell(first === '' ? 'a passphrase needs at least one character' : "they don't match, try again");
  }
}

/**
 * Returns the first line of stdin if it isn't a terminal; undefined at its end, or if it is a
 * terminal, because without an output to ask on the typed text would be visible.
 */
export async function firstLine({ terminal }: Shell, input: Input): Promise<string | undefined> {
  return terminal.streams.stdin.isTTY === true ? undefined : input.next('');
}

async function askProtection(terminal: Terminal, input: Input): Promise<'passphrase' | 'memory'> {
  terminal.tell('no keychain found on this machine');
  for (;;) {
    const answer = await input.ask('protect the vault with a [p]assphrase, or keep this chat in [m]emory only? ');
    const letter = answer?.trim().toLowerCase();
    if (letter === 'p' || letter === 'passphrase') return 'passphrase';
    if (letter === undefined || letter === 'm' || letter === 'memory') return 'memory';
  }
}
