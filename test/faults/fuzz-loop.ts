import { setImmediate } from 'node:timers/promises';
import { addressSpace, greatestAddressSpace } from './address-space.ts';
import { Chance } from './chance.ts';
import type { Coverage } from './fuzz-coverage.ts';
import { mutate } from './fuzz-mutate.ts';

/** A consumer of bytes, with a check of how it handled them. */
export interface Target {
  readonly name: string;
  /** Whether its inputs are lines of JSON. */
  readonly isText: boolean;
  readonly seeds: readonly Buffer[];
  /**
   * Tries one input, and returns what is wrong with how it was handled. An error it throws is wrong
   * as well.
   */
  run(input: Buffer): string | undefined;
}

/** Options and callbacks of a run. */
export interface Fuzzing {
  readonly seed: number;
  readonly count: number;
  readonly coverage?: Coverage;
  /** Called before every input, with the input, to examine a process that dies or hangs. */
  before(input: Buffer, index: number): void;
  /** Called now and then, to show that it still runs. */
  alive(index: number): void;
  /** Called with every input that was handled wrongly. */
  found(fault: string, input: Buffer, index: number): void;
}

/** The inputs that a target was given. */
export interface Fuzzed {
  readonly cases: number;
  readonly corpus: readonly Buffer[];
}

/**
 * Inputs run between two checks of the coverage. If a batch reached something new, its inputs run
 * again one by one.
 */
const BATCH = 256;
/**
 * An input of a few kilobytes may not allocate more address space than this at once, in MiB. V8
 * itself takes some now and then.
 */
const BOUND_MIB = 96;
/** The same limit for address space that a batch has already released. */
const BATCH_MIB = 320;
/** More memory than this in total, in MiB, means a leak. */
const MEMORY_MIB = 1024;

/**
 * Gives a target its seeds and then `count` inputs made from them and from inputs that reached
 * something new. The same seed yields the same inputs.
 */
export async function fuzz(target: Target, fuzzing: Fuzzing): Promise<Fuzzed> {
  const { coverage, count } = fuzzing;
  const chance = new Chance(fuzzing.seed);
  const corpus = [...target.seeds];
  for (const input of target.seeds) attempt(target, input, fuzzing, -1);
  coverage?.isFresh(true);
  let before = greatestAddressSpace();
  for (let index = 0; index < count; index += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - index) }, () =>
      mutate(chance, chance.of(corpus) ?? Buffer.alloc(0), corpus, target.isText),
    );
    for (const [at, input] of batch.entries()) attempt(target, input, fuzzing, index + at);
    if (coverage?.isFresh(false)) corpus.push(...whatReached(target, batch, coverage));
    const grown = greatestAddressSpace() - before;
    if (grown > BATCH_MIB) fuzzing.found(`a batch from here on took ${grown} MiB of address space`, batch[0]!, index);
    before += grown;
    const memory = process.memoryUsage.rss() / 2 ** 20;
    if (memory > MEMORY_MIB) {
      fuzzing.found(`the process grew to ${Math.round(memory)} MiB`, batch[0]!, index);
      return { cases: index, corpus: corpus.slice(target.seeds.length) };
    }
    fuzzing.alive(index);
    await setImmediate(); // zlib frees its contexts only on a turn of the event loop
  }
  return { cases: count, corpus: corpus.slice(target.seeds.length) };
}

function attempt(target: Target, input: Buffer, fuzzing: Fuzzing, index: number): void {
  fuzzing.before(input, index);
  const before = addressSpace();
  const fault = faultOf(target, input);
  const grown = addressSpace() - before;
  if (fault !== undefined) fuzzing.found(fault, input, index);
  else if (grown > BOUND_MIB) fuzzing.found(`it took ${grown} MiB of address space`, input, index);
}

/** Tries one input, and returns what is wrong with how it was handled. */
export function faultOf(target: Target, input: Buffer): string | undefined {
  try {
    return target.run(Buffer.from(input));
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : `it threw ${String(error)}`;
  }
}

/**
 * Returns the inputs of a batch that together reach all that the batch reached. Bisects, because a
 * coverage check costs more than an input.
 */
function whatReached(target: Target, batch: readonly Buffer[], coverage: Coverage): Buffer[] {
  if (batch.length < 2) {
    for (const input of batch) faultOf(target, input);
    return coverage.isFresh(true) ? [...batch] : [];
  }
  const middle = batch.length >> 1;
  return [batch.slice(0, middle), batch.slice(middle)].flatMap((half) => {
    for (const input of half) faultOf(target, input);
    return coverage.isFresh(false) ? whatReached(target, half, coverage) : [];
  });
}
