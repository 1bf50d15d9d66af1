import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Coverage } from './fuzz-coverage.ts';
import { fuzz, type Target } from './fuzz-loop.ts';
import type { Asked, Told } from './fuzz-process.ts';

/*
 * One target under one seed, in a separate process that may hang or die of it. Prints on stdout
 * that it is alive, its findings and when it is done, one line of JSON each. The file `input` of
 * its folder holds the current input.
 */

/** Findings beyond this number are counted and not kept. */
const KEPT = 5;

if (process.argv[1] === import.meta.filename) {
  const asked = JSON.parse(process.argv[2] ?? '') as Asked;
  Error.stackTraceLimit = 0; // most inputs are refused, and their stack traces are not used
  mkdirSync(asked.folder, { recursive: true });
  using coverage = new Coverage((url) => url.includes('/src/'));
  const target = await targetOf(asked);
  const input = openSync(join(asked.folder, 'input'), 'w');
  tell({ alive: -1 });
  let found = 0;
  const { cases, corpus } = await fuzz(target, {
    seed: asked.seed,
    count: asked.count,
    coverage,
    before: (bytes, index) => {
      const head = Buffer.alloc(8);
      head.writeInt32BE(index, 0);
      head.writeUInt32BE(bytes.length, 4);
      writeSync(input, Buffer.concat([head, bytes]), 0, 8 + bytes.length, 0);
    },
    alive: (index) => tell({ alive: index }),
    found: (fault, bytes, index) => {
      found++;
      if (found > KEPT) return;
      const path = join(asked.folder, `found-${found}`);
      writeFileSync(path, bytes);
      tell({ fault: { what: fault, index, path } });
    },
  });
  closeSync(input);
  tell({ done: { cases, found, corpus: corpus.map((bytes) => bytes.toString('base64')) } });
}

/**
 * Returns the requested target, with the wrong decoders if requested. Loaded late, so that its
 * coverage is counted from the start.
 */
async function targetOf({ folder, target, wrong }: Asked): Promise<Target> {
  const { ownDecoders, targetsIn } = await import('./fuzz-targets.ts');
  const { ownSeeds, seeds } = await import('./fuzz-seeds.ts');
  const { wrongDecoders } = await import('./fuzz-wrong.ts');
  const decoders = { ...ownDecoders, ...(wrong === undefined ? {} : wrongDecoders[wrong]?.decoders) };
  const found = targetsIn(folder, wrong === undefined ? seeds : ownSeeds, decoders).find(({ name }) => name === target);
  if (!found) throw new Error(`no target ${target}`);
  return found;
}

function tell(told: Told): void {
  writeSync(1, `${JSON.stringify(told)}\n`);
}
