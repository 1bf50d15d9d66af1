import type { CofferError } from '../../errors.ts';
import type { VaultDirectory } from '../directory.ts';
import type { Seen } from '../marks/seen.ts';
import type { OnProgress } from '../progress.ts';
import type { HomeOptions } from './key-home.ts';
import { VaultRecord } from './record/vault-record.ts';
import type { RecoverAsks, Recovered } from './recover.ts';
import type { Rotated } from './rotation/rotate.ts';
import { Rotation } from './rotation/rotation.ts';
import { KeySlots } from './slots/key-slots.ts';
import type { Rewrapping } from './slots/rewrap.ts';
import { Unlocking, type UnlockOptions } from './unlocking.ts';

/**
 * The state of the vault key: `ready`, `awaited` (a look-up is running), `unavailable` with the
 * reason, or `unasked` (not looked up yet). With `ready`, `keyId` is 32 hex digits, `backend` and
 * `provider` name the key's store, and `how` tells whether the key was just created.
 */
export type KeyState =
  | {
      readonly state: 'ready';
      readonly keyId: string;
      readonly backend: string;
      readonly provider: string;
      readonly how: 'opened' | 'created';
    }
  | { readonly state: 'awaited' }
  | { readonly state: 'unavailable'; readonly error: CofferError }
  | { readonly state: 'unasked' };

/** The key of a vault: unlocking, its slots, its record in vault.json, recovery and rotation. */
export class VaultKeys {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #options: Omit<HomeOptions, 'waits'>;
  /**
   * Obtains the vault key, and reports waits for it.
   *
   * @internal
   */
  readonly unlocking: Unlocking;

  /** @internal */
  constructor(place: VaultDirectory, seen: Seen, options: UnlockOptions & Omit<HomeOptions, 'waits'>) {
    this.#place = place;
    this.#seen = seen;
    this.#options = options;
    this.unlocking = new Unlocking(place, options);
  }

  /** State of the key. Reading it doesn't trigger a look-up. */
  get status(): KeyState {
    const { current, isAsking, refusal } = this.unlocking;
    if (current) {
      const { key, backend, provider, how } = current;
      return { state: 'ready', keyId: key.id, backend, provider, how };
    }
    if (isAsking) return { state: 'awaited' };
    return refusal ? { state: 'unavailable', error: refusal } : { state: 'unasked' };
  }

  /**
   * Unlocks the vault, creating the key on first use. Throws `KEY_*`, `PASSPHRASE_WRONG`,
   * `NOT_SAVED`; may be retried.
   */
  async unlock(): Promise<void> {
    await this.unlocking.unlock();
  }

  /**
   * Unlocks the vault like {@link unlock}, but returns the error instead of throwing it. Waits at
   * most two seconds for a slow keychain: it then returns `KEY_TIMEOUT` while the look-up continues
   * ({@link KeyState} is `awaited`), and events recorded in the meantime are saved once the key is
   * available. Returns undefined if the vault is unlocked.
   */
  unlockSoon(): Promise<CofferError | undefined> {
    return this.unlocking.unlockSoon();
  }

  /**
   * Makes every call that is waiting for the key fail with `KEY_TIMEOUT`; the look-up itself
   * continues. Returns whether any call was waiting.
   */
  stopWaiting(): boolean {
    return this.unlocking.stopWaiting();
  }

  /** Passphrase and recovery-code slots. */
  get slots(): KeySlots {
    return new KeySlots(this.#place, this.#seen, this.#home, () => this.unlocking.unlock());
  }

  /** The trust state of vault.json, and the operations that repair it. */
  get record(): VaultRecord {
    return new VaultRecord(this.#place, this.#seen, this.unlocking);
  }

  /**
   * Unlocks a vault copied from another machine with a recovery code or passphrase, and stores its
   * key in this machine's keychain. Throws as {@link VaultRecord.recover}.
   */
  recover(asks: RecoverAsks): Promise<Recovered> {
    return this.record.recover(asks);
  }

  /**
   * Rotates the vault key: reseals every file with a new key and drops the old one. Deletes the
   * files in `remove` first. Throws `SESSION_IN_USE` while any session is open in any process,
   * `KEY_*`, `NEWER_VERSION`, `VAULT_BUSY`, and `NOT_SAVED`, after which {@link finishRotation}
   * continues.
   */
  async rotate(
    asked: Rewrapping,
    options: { remove?: readonly { readonly fileId: string }[]; onProgress?: OnProgress } = {},
  ): Promise<Rotated> {
    const remove = options.remove?.map(({ fileId }) => fileId);
    return this.#rotation.begin({ asked, remove, onProgress: options.onProgress });
  }

  /**
   * Finishes an interrupted key rotation. Returns undefined if there is none. Throws as
   * {@link rotate}.
   */
  async finishRotation(onProgress?: OnProgress): Promise<Rotated | undefined> {
    return this.#rotation.finish(onProgress);
  }

  get #rotation(): Rotation {
    return new Rotation(this.#place, this.#seen, this.unlocking, this.#home);
  }

  /** The places to look for the key, and the watcher of how long that takes. */
  get #home(): HomeOptions {
    return { ...this.#options, waits: this.unlocking.waits };
  }
}
