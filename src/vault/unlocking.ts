import { VaultKey } from '../envelope/key.ts';
import { type CofferError, isCofferError } from '../errors.ts';
import { makeDirectory } from '../files/paths.ts';
import type { VaultDirectory } from './directory.ts';
import { dropLoser, type KeyOptions, type Unlocked, unlockVault } from './keys.ts';
import { keyIdsOf } from './open.ts';
import { readVaultFile } from './vault-file.ts';

/** How long a keychain that gave no answer, or a person who declined, is not asked again by itself. */
const REFUSAL_MS = 30_000;

/** How to come by a vault's key, but for what the vault's directory says itself. */
export interface UnlockOptions extends Omit<KeyOptions, 'directory' | 'sealedKeyIds' | 'newKey' | 'makeDirectory'> {
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
  /** What is known of the keys without asking. */
  current: Unlocked | undefined;

  constructor(place: VaultDirectory, options: UnlockOptions) {
    this.#place = place;
    this.#options = options;
  }

  /** Why the key was not given a moment ago. */
  get recentRefusal(): CofferError | undefined {
    return this.#refused && Date.now() - this.#refused.at < REFUSAL_MS ? this.#refused.error : undefined;
  }

  /** Comes by the vault key, and at first use makes it. Throws `KEY_*`, `PASSPHRASE_WRONG`, `NOT_SAVED`; ask again at will. */
  async unlock(): Promise<Unlocked> {
    if (this.#options.refusal) throw this.#options.refusal;
    if (this.current && !this.isReplaced(this.current)) return this.current;
    this.#asking ??= this.#ask();
    try {
      this.current = await this.#asking;
      return this.current;
    } catch (error) {
      if (isCofferError(error, 'KEY_TIMEOUT', 'KEY_DECLINED')) this.#refused = { error, at: Date.now() };
      throw error;
    } finally {
      this.#asking = undefined;
    }
  }

  /** Tells whether vault.json names other keys by now. While it can't be read, what was opened goes on being used. */
  isReplaced({ key, retiring }: Unlocked): boolean {
    try {
      const file = readVaultFile(this.#place.root);
      return file !== undefined && (file.key !== key.id || (retiring !== undefined && file.retiring !== retiring.id));
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
    const unlocked = await unlockVault({
      ...this.#options,
      directory: this.#place.root,
      sealedKeyIds: () => this.#sealedKeyIds(),
      newKey: () => {
        this.#newKey ??= VaultKey.generate();
        return this.#newKey;
      },
      makeDirectory: () => makeDirectory(this.#place.root),
    });
    await this.#dropLoser(unlocked);
    return unlocked;
  }

  /** Where another process was first, maybe after our own first use had timed out, the key that we made is nobody's. */
  async #dropLoser({ key }: Unlocked): Promise<void> {
    const made = this.#newKey?.id;
    if (made === undefined || made === readVaultFile(this.#place.root)?.retiring) return;
    try {
      if (made !== key.id) await dropLoser(this.#options, made);
      this.#newKey = undefined;
    } catch (error) {
      // A keychain that is too slow is asked again; one that refuses must not keep us from the key that we have.
      if (!isCofferError(error, 'KEY_TIMEOUT')) this.#newKey = undefined;
      throw error;
    }
  }

  /** Of `seen` too: with all sessions gone it still says which key there was. */
  #sealedKeyIds(): string[] | undefined {
    const paths = this.#place.fileIds().map((fileId) => this.#place.path(fileId));
    if (this.#place.hasSeen) paths.push(this.#place.seen);
    return paths.length === 0 ? undefined : keyIdsOf(paths);
  }
}
