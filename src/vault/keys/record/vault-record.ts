import { existsSync } from 'node:fs';
import { CofferError } from '../../../errors.ts';
import type { VaultDirectory } from '../../directory.ts';
import type { Seen } from '../../marks/seen.ts';
import type { RecoverAsks, Recovered } from '../recover.ts';
import type { Unlocking } from '../unlocking.ts';
import type { Repaired } from './repair.ts';
import type { TrustChange } from './trust.ts';
import { findVaultFile, vaultFilePath } from './vault-file.ts';

/**
 * Remedies for a vault.json that is not trusted, or whose key is not on this machine. Their code is
 * loaded on use.
 */
export class VaultRecord {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #keys: Unlocking;

  /** @internal */
  constructor(place: VaultDirectory, seen: Seen, keys: Unlocking) {
    this.#place = place;
    this.#seen = seen;
    this.#keys = keys;
  }

  /**
   * Why vault.json is not trusted; undefined if it is, or if the vault has not been unlocked yet.
   */
  get distrust(): CofferError | undefined {
    return this.#keys.current?.distrust?.error;
  }

  /**
   * Whether a rotation was interrupted; false while vault.json is not trusted. Does not ask for the
   * key.
   */
  get isRotating(): boolean {
    return this.#keys.current?.distrust === undefined && findVaultFile(this.#place.root).fields.retiring !== undefined;
  }

  /** Throws `FAILED` if there is no vault: unlocking would create one. */
  requireVault(): void {
    const { root, isEmpty } = this.#place;
    if (!isEmpty || existsSync(vaultFilePath(root))) return;
    throw new CofferError('FAILED', `there is no vault in ${root}`, {
      advice: 'use --data-dir if it is elsewhere',
    });
  }

  /**
   * Writes a new vault.json; undefined if the one there is as coffer wrote it. Throws as
   * {@link repairVaultFile}, and `KEY_*`.
   */
  async repair(): Promise<Repaired | undefined> {
    const before = await this.#keys.unlock();
    if (!before.distrust) return undefined;
    const { repairVaultFile } = await import('./repair.ts');
    const { unlocked, repaired } = await repairVaultFile(this.#place, this.#seen, this.#keys.keyOptions, before);
    this.#keys.current = unlocked;
    return repaired;
  }

  /**
   * Returns what can be accepted about the directory, or undefined if there is nothing. Does not
   * ask for the key. Throws as {@link trustChange}.
   */
  async changes(): Promise<TrustChange | undefined> {
    const { trustChange } = await import('./trust.ts');
    return trustChange(this.#place, this.#keys);
  }

  /** Accepts what {@link changes} returned. Throws as {@link acceptChange}. */
  async trust(change: TrustChange): Promise<void> {
    const { acceptChange } = await import('./trust.ts');
    await acceptChange(this.#place, this.#keys.keyOptions, change);
    this.#keys.current = undefined;
  }

  /** Brings the key of a copied vault to this machine. Throws as {@link recoverKey}. */
  async recover(asks: RecoverAsks): Promise<Recovered> {
    const { recoverKey } = await import('../recover.ts');
    const recovered = await recoverKey(this.#place, this.#seen, { ...this.#keys.keyOptions, ...asks });
    const unlocked = recovered.unlocked ?? (await this.#keys.unlock());
    this.#keys.current = unlocked;
    return { ...recovered, unlocked };
  }
}
