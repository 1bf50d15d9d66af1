import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Campaign, Control, Figures } from './campaign.ts';
import { faultOf } from './fuzz-loop.ts';
import { type Asked, type Ended, fuzzApart } from './fuzz-process.ts';
import { CORPUS, seeds } from './fuzz-seeds.ts';
import { targetsIn } from './fuzz-targets.ts';
import { wrongDecoders } from './fuzz-wrong.ts';
import type { Sample } from './sample.ts';

/*
 * COFFER_FUZZ_SEED repeats a run, COFFER_FUZZ_INPUTS makes it longer, COFFER_FUZZ_INPUT=target:file
 * tries one input, and with COFFER_FUZZ_KEEP=1 small inputs that reached something new are kept in
 * test/faults/corpus.
 */

/**
 * Each target's share of a million inputs. Most of the code is behind the authentication, which a
 * mutation never passes.
 */
const SHARES: readonly (readonly [string, number])[] = [
  ['content', 60_000],
  ['content', 60_000],
  ['file', 120_000],
  ['events', 90_000],
  ['events', 90_000],
  ['segment', 150_000],
  ['summary', 200_000],
  ['vault.json', 100_000],
  ['heads', 130_000],
];
const MILLION = 1_000_000;
/** Number of inputs in the short form, made from its seed. */
const SHORT = 30_000;
/** Time a process may print nothing, in milliseconds: about 256 inputs, on a busy machine. */
const PATIENCE = 30_000;
/** The same for a decoder with a fault, in the whole form and in the short one. */
const CONTROL_PATIENCE = [15_000, 8_000] as const;
/** Number of inputs that suffices to find the planted faults. */
const CONTROL_INPUTS = 10_000;
/** The short form uses fewer of them, and further seeds until the fault is found. */
const SHORT_CONTROL_INPUTS = 3_000;
const SHORT_CONTROL_TIMES = 12;
/** Longer inputs are not kept. */
const SMALL = 600;

/** Random inputs for everything that reads bytes. */
export const campaign: Campaign = { name: 'fuzzing', needs: [], limits: { short: 180, whole: 1800 }, run };

async function run(folder: string, tell: (line: string) => void, sample: Sample): Promise<Figures> {
  const one = process.env['COFFER_FUZZ_INPUT'];
  if (one) return again(folder, one);
  const { COFFER_FUZZ_SEED: given, COFFER_FUZZ_INPUTS: wanted } = process.env;
  const seed = given === undefined ? (sample.seed ?? Date.now()) % 2 ** 31 : Number(given);
  const factor = Number(wanted ?? sample.pick(MILLION, SHORT)) / MILLION;
  const jobs = SHARES.map(([target, share], index): Asked => {
    const place = join(folder, `job-${index}`);
    return { folder: place, target, seed: seed + index, count: Math.round(share * factor) };
  });
  const ended = await inPairs(jobs, async (asked) => {
    tell(asked.target);
    const found = await fuzzApart(asked, PATIENCE);
    tell(`${asked.target}: ${found.cases} inputs, ${found.corpus.length} of them reached something new`);
    if (process.env['COFFER_FUZZ_KEEP'] === '1') keep(asked.target, found.corpus);
    return found;
  });
  const controls = await inPairs(Object.entries(wrongDecoders), async ([name, { target }], index): Promise<Control> => {
    tell(name);
    let [caught, tried] = [0, 0];
    for (let time = 0; time < sample.pick(1, SHORT_CONTROL_TIMES) && caught === 0; time++) {
      const count = sample.pick(CONTROL_INPUTS, SHORT_CONTROL_INPUTS);
      const place = join(folder, `control-${index}-${time}`);
      const { found, cases } = await fuzzApart(
        { folder: place, target, seed: seed + time, count, wrong: name },
        sample.pick(...CONTROL_PATIENCE),
      );
      caught += found;
      tried += Math.max(found, cases);
    }
    return { name, caught, cases: tried };
  });
  const total = (of: (one: Ended) => number): number => ended.reduce((sum, found) => sum + of(found), 0);
  return {
    cases: total(({ cases }) => cases),
    lost: 0,
    accepted: total(({ found }) => found),
    controls,
    notes: [`seed ${seed}`, `inputs that reached something new: ${total(({ corpus }) => corpus.length)}`],
    failures: ended.flatMap(({ faults }) => faults),
  };
}

/** Tries one input again, to debug a fault. */
function again(folder: string, asked: string): Figures {
  const at = asked.indexOf(':');
  const target = targetsIn(folder, seeds).find(({ name }) => name === asked.slice(0, at));
  if (!target) throw new Error(`COFFER_FUZZ_INPUT is target:file, not ${asked}`);
  const fault = faultOf(target, readFileSync(asked.slice(at + 1)));
  const failures = fault === undefined ? [] : [`${target.name}: ${fault}`];
  const controls = [{ name: 'none, it is one input', caught: 1, cases: 1 }];
  return { cases: 1, lost: 0, accepted: failures.length, controls, notes: [], failures };
}

/** Runs two at a time, in order; the machine has two cores. */
async function inPairs<A, B>(all: readonly A[], work: (one: A, index: number) => Promise<B>): Promise<B[]> {
  const results: B[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < all.length; index = next++) results[index] = await work(all[index]!, index);
  };
  await Promise.all([lane(), lane()]);
  return results;
}

function keep(target: string, corpus: readonly Buffer[]): void {
  const folder = join(CORPUS, target);
  mkdirSync(folder, { recursive: true });
  for (const bytes of corpus.filter(({ length }) => length <= SMALL)) {
    writeFileSync(join(folder, createHash('sha256').update(bytes).digest('hex').slice(0, 12)), bytes);
  }
}
