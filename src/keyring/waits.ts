import type { Keyring } from './outcomes.ts';
import { LONG_MS } from './patience.ts';

/**
 * The kind of a long wait: for the keychain's answer, or for the user's answer to its unlock
 * prompt.
 */
export type KeyWait = 'keychain' | 'prompt';

/** The maximum time between calls that count as one wait, in milliseconds. */
const GAP_MS = 1_000;

/**
 * Measures how long keyrings take to answer. Consecutive calls count as one wait, which is reported
 * once it has taken two seconds in total, or immediately if an unlock prompt is shown.
 */
export class Waits {
  readonly #report: (wait: KeyWait) => void;
  /** The time that the completed calls of the current wait took, in milliseconds. */
  #taken = 0;
  #endedAt = Number.NEGATIVE_INFINITY;
  #pending = 0;
  #isReported = false;
  #isLong = false;
  #long = Promise.withResolvers<void>();

  constructor(report: (wait: KeyWait) => void = () => undefined) {
    this.#report = report;
  }

  /** Whether the current wait is long. */
  get isLong(): boolean {
    return this.#isLong;
  }

  /**
   * Resolves once a wait is long: the current one or the next, immediately if the current one
   * already is.
   */
  get long(): Promise<void> {
    return this.#long.promise;
  }

  /** Returns a keyring that measures every call. */
  around(keyring: Keyring): Keyring {
    return {
      backend: keyring.backend,
      probe: () => this.#watch(() => keyring.probe()),
      provider: () => this.#watch(() => keyring.provider()),
      get: (keyId) => this.#watch(() => keyring.get(keyId)),
      set: (keyId, secret) => this.#watch(() => keyring.set(keyId, secret)),
      delete: (keyId) => this.#watch(() => keyring.delete(keyId)),
    };
  }

  /** Reports that an unlock prompt is shown. */
  readonly onPrompt = (): void => {
    this.#isReported = true;
    this.#report('prompt');
  };

  async #watch<T>(call: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    if (this.#pending === 0 && begun - this.#endedAt > GAP_MS) {
      this.#taken = 0;
      this.#isReported = false;
    }
    this.#pending += 1;
    const timer = setTimeout(() => this.#onLong(), Math.max(0, LONG_MS - this.#taken)).unref();
    try {
      return await call();
    } finally {
      clearTimeout(timer);
      this.#endedAt = performance.now();
      this.#taken += this.#endedAt - begun;
      this.#pending -= 1;
      if (this.#pending === 0 && this.#isLong) this.#reset();
    }
  }

  #reset(): void {
    this.#isLong = false;
    this.#long = Promise.withResolvers<void>();
  }

  #onLong(): void {
    this.#isLong = true;
    this.#long.resolve();
    if (this.#isReported) return;
    this.#isReported = true;
    this.#report('keychain');
  }
}
