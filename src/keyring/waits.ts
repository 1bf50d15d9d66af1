import type { Keyring } from './outcomes.ts';
import { LONG_MS } from './patience.ts';

/** What a long wait is for: an answer of the keychain, or a person's answer to its unlock prompt. */
export type Wait = 'keychain' | 'prompt';

/** Calls less than this many milliseconds apart count as one wait. */
const GAP_MS = 1_000;

/**
 * Watches how long keyrings take to answer. Calls that follow each other are one wait: it is reported once it has taken two seconds
 * in all, or at once if an unlock prompt is shown.
 */
export class Waits {
  readonly #report: (wait: Wait) => void;
  /** How long the present wait has taken in calls that have ended, in milliseconds. */
  #taken = 0;
  #endedAt = Number.NEGATIVE_INFINITY;
  #pending = 0;
  #isReported = false;
  #isLong = false;
  #long = Promise.withResolvers<void>();

  constructor(report: (wait: Wait) => void = () => undefined) {
    this.#report = report;
  }

  /** Whether the present wait has taken long. */
  get isLong(): boolean {
    return this.#isLong;
  }

  /** Resolves once a wait takes long, the present one or the next; at once if the present one already has. */
  get long(): Promise<void> {
    return this.#long.promise;
  }

  /** Returns the keyring with every call watched. */
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
