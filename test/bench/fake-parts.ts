import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Measure } from '../../bench/part.ts';
import type { Parts } from '../../bench/parts.ts';
import { line } from './made-up.ts';

/** Reports its arguments, and leaves a file and a timer behind. */
const fine: Measure = async (folder, size) => {
  const notes = [folder, size, `${process.pid}`, JSON.stringify(readdirSync(folder))];
  writeFileSync(join(folder, 'left'), 'behind');
  // Still runs when the part is done.
  setInterval(() => undefined, 1000);
  return { lines: [line('step', Number.NaN)], curves: [], notes };
};

/** Parts that end in every way a part can end. */
export const parts: Parts = {
  part: async () => fine,
  throws: async () => async () => {
    throw new RangeError('this part throws');
  },
  dies: async () => async () => process.abort(),
  leaves: async () => async () => process.exit(3),
  hangs: async () => () => new Promise(() => setInterval(() => undefined, 1000)),
  unloadable: () => Promise.reject(new SyntaxError('this part does not load')),
};
