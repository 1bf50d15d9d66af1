import { VaultKey } from '../../envelope/key.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { configDirectory, makeDirectory } from '../../files/paths.ts';
import type { KeyWait } from '../../keyring/keyring.ts';
import { Waits } from '../../keyring/waits.ts';
import type { VaultDirectory } from '../directory.ts';
import { isSealedWith, keyIdsOf } from '../file/open.ts';
import { seenCounter } from '../marks/seen.ts';
import { dropLoser, unlockVault } from './keys.ts';
import type { KeyOptions, Unlocked } from './options.ts';
import { KnownVaults } from './record/known.ts';
import { findVaultFile, readVaultFile } from './record/vault-file.ts';

/**
 * How long a keychain that timed out, or a user who declined, is not asked again automatically, in
 * milliseconds.
 */
const REFUSAL_MS = 30_000;

/** Options for obtaining a vault's key, apart from what vault.json says. */
export interface UnlockOptions
  extends Pick<KeyOptions, 'askPassphrase' | 'askProtection' | 'choice' | 'env' | 'keyring'> {
  /** Settings directory, which holds the known vaults. Default: the platform's. */
  readonly config?: string | undefined;
  /**
   * Called once for each reason why vault.json is not trusted, or why its key could not be added to
   * the known vaults.
   */
  readonly onDistrust?: ((error: CofferError) => void) | undefined;
  /**
   * Called when a wait for the keychain has taken two seconds, and at once when the keychain shows
   * an unlock prompt.
   */
  readonly onWait?: ((wait: KeyWait) => void) | undefined;
  /** An error to throw instead of unlocking, if nothing may be read or written here. */
  readonly refusal?: CofferError | undefined;
}

/**
 * The keys of one vault in this process: looked up once, and again when vault.json names others.
 */
export class Unlocking {
  readonly #place: VaultDirectory;
  readonly #options: UnlockOptions;
  #newKey: VaultKey | undefined;
  #asking: Promise<Unlocked> | undefined;
  #refused: { error: CofferError; at: number } | undefined;
  /** Rejects for every caller that waits for the key, without ending the look-up. */
  #stop = Promise.withResolvers<never>();
  #waiting = 0;
  readonly #onUnlocked = new Set<() => void>();
  /** Watches how long the keychain takes to answer. */
  readonly waits: Waits;
  /** The keys of the vaults that this user has opened. */
  readonly known: KnownVaults;
  /**
   * The keys of the last unlock, which may have been replaced since; undefined before the first.
   */
  current: Unlocked | undefined;
  #reported: string | undefined;

  constructor(place: VaultDirectory, options: UnlockOptions) {
    this.#place = place;
    this.#options = options;
    this.waits = new Waits(options.onWait);
    this.known = new KnownVaults(configDirectory(options.env, options.config), options.onDistrust);
  }

  /** Why the last attempt to get the key failed. */
  get refusal(): CofferError | undefined {
    return this.#options.refusal ?? this.#refused?.error;
  }

  /**
   * Why the key was refused less than 30 seconds ago, if asking again would mean another long wait
   * or another prompt.
   */
  get recentRefusal(): CofferError | undefined {
    const { error, at } = this.#refused ?? { at: 0 };
    return isCofferError(error, 'KEY_TIMEOUT', 'KEY_DECLINED') && Date.now() - at < REFUSAL_MS ? error : undefined;
  }

  /** Whether a look-up of the key is under way. */
  get isAsking(): boolean {
    return this.#asking !== undefined;
  }

  /**
   * Unlocks the vault, creating the key on first use. Concurrent callers share one look-up; a
   * caller that joins a long wait reports it again. Throws `KEY_*`, `PASSPHRASE_WRONG`,
   * `NOT_SAVED`; may be called again after any of them.
   */
  async unlock(): Promise<Unlocked> {
    if (this.#options.refusal) throw this.#options.refusal;
    if (this.current && !this.isReplaced(this.current)) return this.current;
    if (this.#isLong) this.#options.onWait?.('keychain');
    this.#asking ??= this.#ask();
    this.#waiting += 1;
    try {
      return await Promise.race([this.#asking, this.#stop.promise]);
    } finally {
      this.#waiting -= 1;
    }
  }

  /**
   * Unlocks the vault like {@link unlock}, but returns errors instead of throwing them, and waits
   * no more than two seconds for a slow keychain: the look-up then continues in the background.
   * Returns undefined once the vault is unlocked.
   */
  async unlockSoon(): Promise<CofferError | undefined> {
    if (this.#isLong) return NOT_YET;
    const unlocked = this.unlock().then(
      () => undefined,
      (error: unknown) => {
        if (isCofferError(error)) return error;
        throw error;
      },
    );
    return Promise.race([unlocked, this.waits.long.then(() => NOT_YET)]);
  }

  /** Whether a look-up is under way and has already taken long. */
  get #isLong(): boolean {
    return this.#asking !== undefined && this.waits.isLong;
  }

  /**
   * Makes every call that waits for the key fail with `KEY_TIMEOUT`; the look-up itself continues.
   * Returns whether any call waited.
   */
  stopWaiting(): boolean {
    if (this.#waiting === 0) return false;
    const { promise, reject } = this.#stop;
    promise.catch(() => undefined); // there may be no waiting call left
    this.#stop = Promise.withResolvers<never>();
    reject(new CofferError('KEY_TIMEOUT', 'stopped waiting for the vault key', { reason: UNANSWERED }));
    return true;
  }

  /** Calls `work` once, at the next successful unlock, even if it is registered several times. */
  onceUnlocked(work: () => void): void {
    this.#onUnlocked.add(work);
  }

  /**
   * Tells whether vault.json now names other keys or, if it was not trusted, has changed at all.
   * While it can't be read, the keys in use stay in use.
   */
  isReplaced({ named, distrust }: Unlocked): boolean {
    try {
      if (distrust) return findVaultFile(this.#place.root).text !== distrust.text;
      const file = readVaultFile(this.#place.root);
      return file !== undefined && (file.key !== named.key || file.retiring !== named.retiring);
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return false;
    }
  }

  /**
   * Runs `work` under `locks/vault` with the keys that vault.json names at that time: a rotation
   * may have finished before the lock was acquired.
   */
  async locked<T>(work: (unlocked: Unlocked) => Promise<T>): Promise<T> {
    for (;;) {
      const unlocked = await this.unlock();
      const done = await this.#place.locked(async () =>
        this.isReplaced(unlocked) ? undefined : { value: await work(unlocked) },
      );
      if (done) return done.value;
    }
  }

  async #ask(): Promise<Unlocked> {
    try {
      this.current = await this.#lookUp();
    } catch (error) {
      if (isCofferError(error)) this.#refused = { error, at: Date.now() };
      throw error;
    } finally {
      this.#asking = undefined;
    }
    const waiting = [...this.#onUnlocked];
    this.#onUnlocked.clear();
    for (const work of waiting) work();
    return this.current;
  }

  /** The options for unlocking the vault and judging its vault.json. */
  get keyOptions(): KeyOptions {
    const { current } = this;
    return {
      ...this.#options,
      waits: this.waits,
      directory: this.#place.root,
      known: this.known,
      held: [current?.key, current?.retiring].filter((key) => key !== undefined),
      sealedKeyIds: () => this.#sealedKeyIds(),
      isSealedWith: (keyIds) => isSealedWith(this.#sealedPaths(), keyIds),
      seenCounter: (keys) => seenCounter(this.#place, keys),
      takeOver: async (file, key) => (await import('./take-over.ts')).takeOver(this.#place, file, key),
      newKey: () => {
        this.#newKey ??= VaultKey.generate();
        return this.#newKey;
      },
      makeDirectory: () => makeDirectory(this.#place.root),
    };
  }

  async #lookUp(): Promise<Unlocked> {
    const unlocked = await unlockVault(this.keyOptions);
    await this.#dropLoser(unlocked);
    const reason = unlocked.distrust?.error;
    if (reason && reason.message !== this.#reported) this.#options.onDistrust?.(reason);
    this.#reported = reason?.message;
    return unlocked;
  }

  /**
   * Removes the key that this process created if another process won the first use, maybe after our
   * own had timed out: nothing is sealed with it.
   */
  async #dropLoser({ key }: Unlocked): Promise<void> {
    const made = this.#newKey?.id;
    if (made === undefined || made === findVaultFile(this.#place.root).fields.retiring) return;
    try {
      if (made !== key.id) await dropLoser({ ...this.#options, waits: this.waits }, made);
      this.#newKey = undefined;
    } catch (error) {
      // If the keychain is too slow, it is asked again at the next look-up; if it refuses, that
      // must not keep us from the key that we have.
      if (!isCofferError(error, 'KEY_TIMEOUT')) this.#newKey = undefined;
      throw error;
    }
  }

  /** Includes `seen`: even when all sessions are gone, it still names the key. */
  #sealedKeyIds(): string[] | undefined {
    const paths = this.#sealedPaths();
    return paths.length === 0 ? undefined : keyIdsOf(paths);
  }

  #sealedPaths(): string[] {
    const paths = this.#place.sealedPaths();
    return this.#place.hasSeen ? [this.#place.seen, ...paths] : paths;
  }
}

const UNANSWERED = 'the keychain has not answered';

const NOT_YET = new CofferError('KEY_TIMEOUT', 'no vault key yet', {
  reason: UNANSWERED,
  advice: 'waiting for it',
});
