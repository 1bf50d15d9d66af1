import type { VaultKey } from '../../envelope/key.ts';
import type { CofferError } from '../../errors.ts';
import type { Backend } from '../../keyring/keyring.ts';
import type { HomeOptions } from './key-home.ts';
import type { KnownVaults } from './record/known.ts';
import type { KeySlot, VaultFile } from './record/shape.ts';

/**
 * Asks for the passphrase of a vault, or of a new one; undefined if none is given. `attempt` starts
 * at 1.
 */
export type AskPassphrase = (ask: { purpose: 'open' | 'new'; attempt: number }) => Promise<string | undefined>;

/** Everything needed to unlock a vault. */
export interface KeyOptions extends HomeOptions {
  readonly directory: string;
  readonly askPassphrase?: AskPassphrase | undefined;
  /** Asked once, if no keychain is available and there is no vault yet. */
  readonly askProtection?: (() => Promise<'passphrase' | 'memory'>) | undefined;
  /**
   * Returns the key ids in the headers of the sealed files; undefined if there is no sealed file.
   */
  readonly sealedKeyIds: () => readonly string[] | undefined;
  /**
   * Tells whether any sealed file names one of these keys; undefined if there is no sealed file.
   */
  readonly isSealedWith: (keyIds: readonly string[]) => boolean | undefined;
  /**
   * Returns a new key; always the same one, so that retrying a first use after a time-out leaves
   * one item in the keychain.
   */
  readonly newKey: () => VaultKey;
  /** Creates the vault directory, 0700. */
  readonly makeDirectory: () => void;
  /** The keys of the vaults that this user has opened. */
  readonly known: KnownVaults;
  /**
   * Keys of this vault that this process holds already; they open the certificates of a rotation by
   * another process.
   */
  readonly held: readonly VaultKey[];
  /**
   * Returns the highest counter of vault.json recorded in `seen`; undefined if there is none or it
   * can't be read with these keys.
   */
  readonly seenCounter: (keys: Keys) => number | undefined;
  /**
   * Adds a MAC to a record that predates it, if that is possible now. Returns the record's new
   * counter, or undefined if it stays as it is: the disk is read-only, or another process is
   * changing the vault.
   */
  readonly takeOver: (file: VaultFile, key: VaultKey) => Promise<number | undefined>;
}

/** The keys that a vault's files may be sealed with. */
export interface Keys {
  readonly key: VaultKey;
  /**
   * The key that an unfinished rotation is replacing, if it is still available; some files need it.
   */
  readonly retiring?: VaultKey | undefined;
}

/** The key ids in vault.json. */
export interface NamedKeys {
  readonly key?: string | undefined;
  readonly retiring?: string | undefined;
}

/**
 * Why vault.json is not trusted. Sessions can be read; key slots, rotation and the keychain are
 * left alone.
 */
export interface Distrust {
  readonly error: CofferError;
  /**
   * Whether the key is known for this directory, by its pin or a certificate, so that something new
   * may be sealed with it.
   */
  readonly maySeal: boolean;
  /** Text of vault.json when it was judged; undefined if there was none. */
  readonly text: string | undefined;
}

/**
 * While vault.json is not trusted, refuses to seal with a key that is neither pinned nor certified,
 * and to reseal what a key other than the vault's opened. Throws `UNAUTHENTIC`.
 */
export function requireSealing({ key, distrust }: Pick<Unlocked, 'key' | 'distrust'>, opened: VaultKey): void {
  if (distrust && !(distrust.maySeal && opened === key)) throw distrust.error;
}

/** The vault key, and where it is kept. */
export interface Unlocked extends Keys {
  readonly backend: Backend;
  readonly provider: string;
  /** `created`: the key was created just now. */
  readonly how: 'opened' | 'created';
  /** Key ids in vault.json when the keys were looked up. */
  readonly named: NamedKeys;
  /** The counter of vault.json; undefined if it has none or is not trusted. */
  readonly counter?: number | undefined;
  readonly distrust?: Distrust | undefined;
  /** The slot that opened the vault, if it was one. */
  readonly slot?: KeySlot | undefined;
}
