import { CofferError, isCofferError } from '../errors.ts';
import type { AskSecret } from '../vault/keys/recover.ts';
import { type AskPassphrase, type KeychainChoice, type Keyring, type KeyWait, Vault } from '../vault/vault.ts';
import { Sessions } from './sessions.ts';

export type { KeyWait } from '../vault/vault.ts';

/** Options for opening a vault. All are optional. */
export interface OpenOptions {
  /** Vault directory. Default: `COFFER_DATA_DIR`, or else the platform's data directory. */
  readonly directory?: string | undefined;
  /**
   * Directory of `vaults.json`, the known vaults: it records the key of each vault directory.
   * Default: `COFFER_CONFIG_DIR`, or else the platform's configuration directory.
   */
  readonly config?: string | undefined;
  /** Keychain that holds the key. Default: `COFFER_KEYCHAIN`, or else `auto`. */
  readonly keychain?: KeychainChoice | undefined;
  /** Custom key store, used instead of a keychain. */
  readonly keyring?: Keyring | undefined;
  /**
   * Whether to save automatically. If false, only explicit calls such as {@link Session.append} and
   * {@link Session.save} write. Default: true.
   */
  readonly autosave?: boolean | undefined;
  /**
   * Keeps conversations in memory: the vault is neither read nor written, and its key isn't asked
   * for. Default: false.
   */
  readonly incognito?: boolean | undefined;
  /** Asks for the passphrase that opens or creates the vault. If omitted, none is available. */
  readonly askPassphrase?: AskPassphrase | undefined;
  /**
   * Asks, once, how to protect a new vault if no keychain is available: with a passphrase, or with
   * a key kept only in memory.
   */
  readonly askProtection?: (() => Promise<'passphrase' | 'memory'>) | undefined;
  /**
   * Called during a long wait for the key: with `keychain` once the keychain has not answered for
   * two seconds, with `prompt` when it shows an unlock prompt. At a terminal, coffer then waits
   * until the keychain answers; without a terminal, it gives up after 14 seconds without an answer.
   */
  readonly onWait?: ((wait: KeyWait) => void) | undefined;
  /**
   * Called if vault.json isn't as coffer wrote it. Sessions remain readable; changing key slots and
   * rotating the key are refused until `coffer key repair`. Also called if the vault's key can't be
   * written to the known vaults: the next start would then not notice a replaced vault.json.
   */
  readonly onDistrust?: ((error: CofferError) => void) | undefined;
  /** Environment variables. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

/**
 * Opens and unlocks a vault (default: the one the `coffer` command uses). On first use, creates its
 * key and stores it in the keychain; concurrent processes agree on one key. Finishes an interrupted
 * key rotation if possible. Remembers the directory's key in the known vaults;
 * {@link VaultRecord.distrust} reports a vault.json that isn't as coffer wrote it.
 *
 * Throws `KEY_*` if the key is unavailable, `PASSPHRASE_WRONG`, `NOT_SAVED`, `UNAUTHENTIC` if
 * vault.json can't be trusted and nothing else identifies the right key, `FAILED` if other users
 * can write to the directory.
 *
 * @example
 * ```ts
 * await using vault = await openVault();
 * for (const row of await vault.list()) console.log(row.number, row.label, row.messages);
 * ```
 */
export async function openVault(options: OpenOptions = {}): Promise<Sessions> {
  const sessions = sessionsOf(options);
  await sessions.keys.unlock();
  await resumeRotation(sessions);
  return sessions;
}

/**
 * Opens a vault that was copied from another machine: asks for a recovery code or passphrase with
 * `askSecret`, and stores the key in this machine's keychain. Asks for nothing if the key is
 * already available. Throws `RECOVERY_CODE_WRONG`, `PASSPHRASE_WRONG`, `KEY_*`, `FAILED` if there
 * is no vault, `NOT_SAVED`.
 *
 * @example
 * ```ts
 * await using vault = await recoverVault({
 *   directory: '/backup/coffer',
 *   askSecret: async (problem) => ask(problem?.message ?? 'recovery code or passphrase: '),
 * });
 * ```
 */
export async function recoverVault(options: OpenOptions & { askSecret: AskSecret }): Promise<Sessions> {
  const sessions = sessionsOf(options);
  await sessions.keys.recover({ askSecret: options.askSecret });
  return sessions;
}

/**
 * Finishes an interrupted rotation. If that fails because a session is open or the disk is full,
 * the next start tries again; both keys open the vault until then.
 */
async function resumeRotation(sessions: Sessions): Promise<void> {
  try {
    await sessions.keys.finishRotation();
  } catch (error) {
    if (!isCofferError(error)) throw error;
  }
}

/**
 * Like {@link openVault}, but unlocks lazily: the key is looked up on the first read or save, and
 * again after a failure.
 */
export function sessionsOf(options: OpenOptions = {}): Sessions {
  const env = options.env ?? process.env;
  const choice = options.keychain ?? (env['COFFER_KEYCHAIN'] as KeychainChoice | undefined) ?? 'auto';
  const { directory, config, keyring, askPassphrase, askProtection, onWait, onDistrust } = options;
  const refusal = options.incognito
    ? new CofferError('INCOGNITO', 'this chat is incognito: nothing is saved and no saved session can be opened', {
        advice: 'start one without --incognito',
      })
    : undefined;
  const asks = { askPassphrase, askProtection, onWait, onDistrust };
  const vault = new Vault({ directory, config, keyring, ...asks, choice, env, refusal });
  return new Sessions(vault, { autosave: !refusal && (options.autosave ?? true) });
}
