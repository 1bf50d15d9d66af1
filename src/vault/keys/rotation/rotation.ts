import type { VaultDirectory } from '../../directory.ts';
import type { Seen } from '../../marks/seen.ts';
import type { OnProgress } from '../../progress.ts';
import type { HomeOptions } from '../key-home.ts';
import type { Unlocked } from '../options.ts';
import type { Unlocking } from '../unlocking.ts';
import type { Rotated, RotateOptions } from './rotate.ts';

/**
 * The rotation of a vault's key: starts one, or continues an interrupted one. The code for it is
 * loaded on use.
 */
export class Rotation {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #keys: Unlocking;
  readonly #options: HomeOptions;

  constructor(place: VaultDirectory, seen: Seen, keys: Unlocking, options: HomeOptions) {
    this.#place = place;
    this.#seen = seen;
    this.#keys = keys;
    this.#options = options;
  }

  /** Replaces the vault's key and reseals everything with the new one. Throws as {@link rotate}. */
  async begin(options: RotateOptions): Promise<Rotated> {
    const unlocked = await this.#keys.unlock();
    const { rotate } = await import('./rotate.ts');
    const homes = { ...this.#options, known: this.#keys.known };
    return this.#rotated(unlocked, await rotate(this.#place, this.#seen, unlocked, { ...homes, ...options }));
  }

  /**
   * Continues an interrupted rotation; undefined if there is none. Throws as
   * {@link finishRotation}.
   */
  async finish(onProgress?: OnProgress): Promise<Rotated | undefined> {
    const unlocked = await this.#keys.unlock();
    const { finishRotation } = await import('./rotate.ts');
    const homes = { ...this.#options, known: this.#keys.known };
    const rotated = await finishRotation(this.#place, this.#seen, unlocked, { ...homes, onProgress });
    return rotated && this.#rotated(unlocked, rotated);
  }

  #rotated({ backend, provider }: Unlocked, rotated: Rotated): Rotated {
    this.#keys.current = { backend, provider, how: 'opened', ...rotated.keys };
    return rotated;
  }
}
