import { VaultKey } from '../../envelope/key.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { configDirectory, makeDirectory } from '../../files/paths.ts';
import type { Wait } from '../../keyring/keyring.ts';
import { Waits } from '../../keyring/waits.ts';
import type { VaultDirectory } from '../directory.ts';
import { isSealedWith, keyIdsOf } from '../file/open.ts';
import { seenCounter } from '../marks/seen.ts';
import { dropLoser, unlockVault } from './keys.ts';
import type { KeyOptions, Unlocked } from './options.ts';
import { KnownVaults } from './record/known.ts';
import { findVaultFile, readVaultFile } from './record/vault-file.ts';

/** How long a keychain that gave no answer, or a person who declined, is not asked again by itself. */
const REFUSAL_MS = 30_000;

/** How to come by a vault's key, but for what the vault's directory says itself. */
export interface UnlockOptions
  extends Pick<KeyOptions, 'askPassphrase' | 'askProtection' | 'choice' | 'env' | 'keyring'> {
  /** Where the known vaults are. Default: beside the settings. */
  readonly config?: string | undefined;
  /** Called once for each reason why vault.json is not trusted, or why its key could not be added to the known vaults. */
  readonly onDistrust?: ((error: CofferError) => void) | undefined;
  /** Called once a wait for the keychain has taken two seconds, and at once when the keychain shows an unlock prompt. */
  readonly onWait?: ((wait: Wait) => void) | undefined;
  /** Why nothing is to be read or written here: thrown instead of a key, so that neither can be. */
  readonly refusal?: CofferError | undefined;
}

/** The keys of one vault in this process: asked for once, and again when vault.json names others. */
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
  /** What is known of the keys without asking. */
  current: Unlocked | undefined;
  #told: string | undefined;

  constructor(place: VaultDirectory, options: UnlockOptions) {
    this.#place = place;
    this.#options = options;
    this.waits = new Waits(options.onWait);
    this.known = new KnownVaults(configDirectory(options.env, options.config), options.onDistrust);
  }

  /** Why the key was refused when it was last asked for. */
  get refusal(): CofferError | undefined {
    return this.#options.refusal ?? this.#refused?.error;
  }

  /** Why the key was refused a moment ago, if asking again would mean another long wait or another prompt. */
  get recentRefusal(): CofferError | undefined {
    const { error, at } = this.#refused ?? { at: 0 };
    return isCofferError(error, 'KEY_TIMEOUT', 'KEY_DECLINED') && Date.now() - at < REFUSAL_MS ? error : undefined;
  }

  /** Whether the key has been asked for and has not come yet. */
  get isAsking(): boolean {
    return this.#asking !== undefined;
  }

  /**
   * Unlocks the vault, creating the key on first use. Several callers wait for one look-up, and each that joins a long wait reports it
   * again. Throws `KEY_*`, `PASSPHRASE_WRONG`, `NOT_SAVED`; ask again at will.
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
   * Unlocks the vault like {@link unlock}, but returns an error instead of throwing it, and waits no more than two seconds for a keychain
   * that is slow to answer: the look-up continues then. Returns undefined once the key is there.
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

  /** Whether a look-up is under way that has taken long already. */
  get #isLong(): boolean {
    return this.#asking !== undefined && this.waits.isLong;
  }

  /** Makes every call that waits for the key fail with `KEY_TIMEOUT`; the look-up itself continues. Returns whether any call waited. */
  stopWaiting(): boolean {
    if (this.#waiting === 0) return false;
    const { promise, reject } = this.#stop;
    promise.catch(() => undefined); // there may be no waiting call left
    this.#stop = Promise.withResolvers<never>();
    reject(new CofferError('KEY_TIMEOUT', 'stopped waiting for the vault key', { reason: UNANSWERED }));
    return true;
  }

  /** Calls `work` once, when the key next comes, however often it was asked to. */
  onceUnlocked(work: () => void): void {
    this.#onUnlocked.add(work);
  }

  /**
   * Tells whether vault.json names other keys by now or, if it was not believed, says anything else. While it can't be read, what was opened
   * goes on being used.
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

  /** Runs `work` under `locks/vault` with the keys that are on record then: a rotation may have come in between. */
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

  /** What it takes to unlock the vault and to judge its vault.json. */
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
    if (reason && reason.message !== this.#told) this.#options.onDistrust?.(reason);
    this.#told = reason?.message;
    return unlocked;
  }

  /** Where another process was first, maybe after our own first use had timed out, the key that we made is nobody's. */
  async #dropLoser({ key }: Unlocked): Promise<void> {
    const made = this.#newKey?.id;
    if (made === undefined || made === findVaultFile(this.#place.root).fields.retiring) return;
    try {
      if (made !== key.id) await dropLoser({ ...this.#options, waits: this.waits }, made);
      this.#newKey = undefined;
    } catch (error) {
      // A keychain that is too slow is asked again; one that refuses must not keep us from the key that we have.
      if (!isCofferError(error, 'KEY_TIMEOUT')) this.#newKey = undefined;
      throw error;
    }
  }

  /** Of `seen` too: with all sessions gone it still says which key there was. */
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
