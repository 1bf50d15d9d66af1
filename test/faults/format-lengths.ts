import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { greatestAddressSpace } from './address-space.ts';
import type { Control } from './campaign.ts';
import { type Bases, basesOf, frameLengths, key } from './format-attacks.ts';
import type { Attack } from './format-base.ts';
import { bombs, lyingLengths } from './format-lies.ts';
import { caught, RealOpener } from './format-real.ts';
import { openWrongly } from './wrong-openers.ts';

/*
 * The memory cost of lying lengths: the same attacks in a separate process, whose address space is
 * watched. A buffer that is allocated and never touched takes no page, so only the address space
 * shows it.
 */

/**
 * MiB that a file of a few kilobytes may make coffer allocate. The greatest length it can name is
 * 4096 MiB.
 */
const BOUND_MIB = 64;
/** MiB that all of them together may allocate: the collector is not run explicitly. */
const TOTAL_MIB = 128;

/** The memory taken by the lying lengths. */
export interface Memory {
  /** MiB of address space, all of them together. */
  readonly grown: number;
  readonly failures: readonly string[];
  readonly controls: readonly Control[];
}

/** Runs the attacks in a separate process. */
export async function measureLengths(folder: string): Promise<Memory> {
  const measured = async (who: string): Promise<Growth> => {
    const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, folder, who]);
    return JSON.parse(stdout) as Growth;
  };
  const [real, trusting] = [await measured('real'), await measured('trusting')];
  const failures = real.leaps.map(({ what, grown }) => `${what}: took ${grown} MiB of address space`);
  if (real.total > TOTAL_MIB) failures.push(`lying lengths took ${real.total} MiB of address space together`);
  const control = { name: 'lengths believed', caught: trusting.leaps.length, cases: trusting.cases };
  return { grown: real.total, failures, controls: [control] };
}

interface Growth {
  readonly cases: number;
  readonly total: number;
  /** The attacks that took more than {@link BOUND_MIB} at once. */
  readonly leaps: readonly { readonly what: string; readonly grown: number }[];
}

function* lies({ three }: Bases): Generator<Attack> {
  yield* frameLengths(three);
  yield* lyingLengths();
  yield* bombs();
}

function measure(open: (attack: Attack) => unknown): Growth {
  const bases = basesOf(true);
  open({ what: 'warm up', bytes: bases.long.bytes, fileId: bases.long.fileId });
  const before = greatestAddressSpace();
  const leaps: { what: string; grown: number }[] = [];
  let [cases, last] = [0, before];
  for (const attack of lies(bases)) {
    caught(() => open(attack));
    const now = greatestAddressSpace();
    if (now - last > BOUND_MIB) leaps.push({ what: attack.what, grown: now - last });
    last = now;
    cases++;
  }
  return { cases, total: last - before, leaps };
}

if (process.argv[1] === import.meta.filename) {
  const [, , folder = '', who] = process.argv;
  using opener = new RealOpener(folder);
  const open = (attack: Attack): unknown =>
    who === 'real' ? opener.open(attack) : openWrongly(attack.bytes, attack.fileId, key, { trusting: true });
  process.stdout.write(JSON.stringify(measure(open)));
}
