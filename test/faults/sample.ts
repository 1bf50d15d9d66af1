import { spawnSync } from 'node:child_process';

/**
 * Selects the cases that a campaign runs. The whole form runs all of them. The short form runs a
 * sample that depends only on a seed: seeds that follow each other select different cases, and as
 * many of them as the sampling interval together select every case.
 */
export class Sample {
  /** The seed of the short form; undefined for the whole form. */
  readonly seed: number | undefined;

  constructor(seed?: number) {
    if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0))
      throw new TypeError(`the seed is ${seed}; must be an integer of at least 0`);
    this.seed = seed;
  }

  /** Returns `short` in the short form, else `whole`. */
  pick<T>(whole: T, short: T): T {
    return this.seed === undefined ? whole : short;
  }

  /**
   * Selects every `interval`th case of each kind, and at least one of each. Kinds start at
   * different cases: if each row of a table of cases is a kind, the sample covers all columns as
   * well.
   */
  *of<T>(cases: Iterable<T>, interval: number, kindOf: (one: T) => string = () => ''): Generator<T> {
    if (this.seed === undefined) {
      yield* cases;
      return;
    }
    const kinds = new Map<string, Kind<T>>();
    for (const one of cases) {
      const name = kindOf(one);
      const kind = kinds.get(name) ?? { offset: kinds.size, count: 0, unused: [] };
      kinds.set(name, kind);
      const isSelected = (kind.count++ + kind.offset) % interval === this.seed % interval;
      if (isSelected) kind.unused = undefined;
      else kind.unused?.push(one);
      if (isSelected) yield one;
    }
    // A kind with fewer cases than the interval may have had none.
    for (const { unused } of kinds.values()) if (unused) yield unused[this.seed % unused.length]!;
  }

  /**
   * Splits the cases of a negative control. The short form gets batches of about `size`, each
   * spread over all cases, to stop as soon as the control is caught; the seed decides which batch
   * is first. Cases that `isLikely` to catch the control come before the others. The whole form
   * gets all cases in one batch.
   */
  *batches<T>(cases: readonly T[], size: number, isLikely: (one: T) => boolean = () => true): Generator<readonly T[]> {
    if (this.seed === undefined) {
      yield cases;
      return;
    }
    for (const part of [cases.filter(isLikely), cases.filter((one) => !isLikely(one))]) {
      const count = Math.ceil(part.length / size);
      for (let batch = 0; batch < count; batch++)
        yield part.filter((_, index) => index % count === (this.seed! + batch) % count);
    }
  }
}

/** The cases of one kind seen so far; `unused` until one of them is selected. */
interface Kind<T> {
  readonly offset: number;
  count: number;
  unused: T[] | undefined;
}

/** Derives the seed of the short form from the hash of the commit that is checked out. */
export function seedOfCommit(): number {
  // As root, git refuses to work in another user's clone otherwise.
  const args = ['-C', import.meta.dirname, '-c', 'safe.directory=*', 'rev-parse', 'HEAD'];
  const { stdout, stderr, status } = spawnSync('git', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`no commit to derive a seed from; pass one: --short=<number> (${stderr?.trim()})`);
  return seedOf(stdout);
}

/** Converts the hash of a commit to a seed. */
export function seedOf(hash: string): number {
  return Number.parseInt(hash.slice(0, 8), 16);
}
