/** Random choices that a seed repeats. */
export class Chance {
  readonly seed: number;
  #state: number;

  constructor(seed: number = Date.now() % 2 ** 32) {
    this.seed = seed;
    this.#state = seed | 0;
  }

  /** Returns an integer from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x9e37_79b9) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * limit);
  }

  /** Returns true in `share` percent of the calls. */
  percent(share: number): boolean {
    return this.below(100) < share;
  }

  /** Returns one of the choices, undefined if there are none. */
  of<T>(choices: readonly T[]): T | undefined {
    return choices[this.below(choices.length)];
  }
}
