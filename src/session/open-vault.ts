import { CofferError, isCofferError } from '../errors.ts';
import type { AskSecret } from '../vault/keys/recover.ts';
import { type AskPassphrase, type KeychainChoice, type Keyring, Vault, type Wait } from '../vault/vault.ts';
import { Sessions } from './sessions.ts';

export type { Wait } from '../vault/vault.ts';

/** How to open a vault; all of it has a default. */
export interface OpenOptions {
  /** Default: `COFFER_DATA_DIR`, else the platform's place for a program's data. */
  readonly directory?: string | undefined;
  /**
   * Where the known vaults are, `vaults.json`: which key each data directory has. Default: `COFFER_CONFIG_DIR`, else the platform's place
   * for a program's configuration.
   */
  readonly config?: string | undefined;
  /** Where the key is kept: a name as in `COFFER_KEYCHAIN`, which is the default. */
  readonly keychain?: KeychainChoice | undefined;
  /** The caller's own home for the key, instead of a keychain. */
  readonly keyring?: Keyring | undefined;
  /** False: nothing is saved by itself, only {@link Session.save} and {@link Session.append} write. Default: true. */
  readonly autosave?: boolean | undefined;
  /** True: conversations stay in memory, nothing is read from the vault or written to it, and its key is not asked for. */
  readonly incognito?: boolean | undefined;
  /** Asked for a passphrase where one opens or begins the vault; without it nobody is asked. */
  readonly askPassphrase?: AskPassphrase | undefined;
  /** Asked once, where no keychain answers and there is no vault yet. */
  readonly askProtection?: (() => Promise<'passphrase' | 'memory'>) | undefined;
  /**
   * Called when the key takes long: with `keychain` once the keychain has not answered for two seconds, with `prompt` when it shows an
   * unlock prompt. At a terminal coffer then waits until the keychain answers; without one it gives up after 14 seconds of silence.
   */
  readonly onWait?: ((wait: Wait) => void) | undefined;
  /**
   * Called when vault.json turns out not to be as coffer wrote it. Sessions can be read all the same; key slots and rotation are refused
   * until `coffer key repair`. Also called if the vault's key can't be written to the known vaults: the next start would not notice then that
   * something else has replaced vault.json.
   */
  readonly onDistrust?: ((error: CofferError) => void) | undefined;
  /** Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

/**
 * Opens the vault in a directory, by default the one the `coffer` command uses, with its key: at first use one is
 * made and put into the keychain, once per directory, however many processes come at the same time.
 * A rotation of the key that was interrupted is brought to its end.
 * The directory's key is remembered in the known vaults; {@link VaultRecord.distrust} tells if vault.json is not as coffer wrote it.
 * Throws `KEY_*` where the key can't be had, `PASSPHRASE_WRONG`, `NOT_SAVED`, `UNAUTHENTIC` if vault.json can't be trusted
 * and nothing else says which key is right, `FAILED` if others can write to the directory.
 *
 * @example
 * ```ts
 * await using vault = await openVault();
 * for (const row of await vault.list()) console.log(row.number, row.label, row.messages);
 * ```
 */
export async function openVault(options: OpenOptions = {}): Promise<Sessions> {
  const sessions = sessionsOf(options);
  await sessions.unlock();
  await goOnRotating(sessions);
  return sessions;
}

/**
 * Opens a vault that was copied here from another machine: asks for a recovery code or a passphrase, and puts the key into the
 * keychain of this machine. Where the key is at hand it asks for nothing. Throws `RECOVERY_CODE_WRONG`, `PASSPHRASE_WRONG`,
 * `KEY_*`, `FAILED` where there is no vault, `NOT_SAVED`.
 */
export async function recoverVault(options: OpenOptions & { askSecret: AskSecret }): Promise<Sessions> {
  const sessions = sessionsOf(options);
  await sessions.recover({ askSecret: options.askSecret });
  return sessions;
}

/** A rotation that can't go on now, because a session is held or the disk is full, goes on at the next start: until then both keys open. */
async function goOnRotating(sessions: Sessions): Promise<void> {
  try {
    await sessions.finishRotation();
  } catch (error) {
    if (!isCofferError(error)) throw error;
  }
}

/** The same without asking for the key: that happens when something is to be read or saved, and may be asked again. */
export function sessionsOf(options: OpenOptions = {}): Sessions {
  const env = options.env ?? process.env;
  const choice = options.keychain ?? (env['COFFER_KEYCHAIN'] as KeychainChoice | undefined) ?? 'auto';
  const { directory, config, keyring, askPassphrase, askProtection, onWait, onDistrust } = options;
  const refusal = options.incognito
    ? new CofferError('INCOGNITO', 'this chat is incognito: it keeps nothing and opens nothing', {
        advice: 'start one without --incognito',
      })
    : undefined;
  const asks = { askPassphrase, askProtection, onWait, onDistrust };
  const vault = new Vault({ directory, config, keyring, ...asks, choice, env, refusal });
  return new Sessions(vault, { autosave: !refusal && (options.autosave ?? true) });
}
