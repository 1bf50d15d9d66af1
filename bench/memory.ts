import { join } from 'node:path';
import { realistic } from '../test/support/vast.ts';
import { spreadOf } from './measure.ts';
import type { Answer, Question, Reading } from './memory-child.ts';
import type { Line, Measure } from './part.ts';
import { fillVault, MB } from './vaults.ts';
import { ask } from './vaults-fork.ts';

const RUNS = 3;
const PROMPTS = 100;
const STEP = 2000;

/**
 * Measures how much the memory of a chat grows in a large resumed session, each time in a separate
 * process.
 */
export const measureMemory: Measure = async (folder, size) => {
  if (size === 'short') return { lines: [], curves: [], notes: ['memory: left out of the short form'] };
  const filled = await fillVault(join(folder, 'vault'), { sessions: 1, events: realistic(100 * MB) });
  const question: Question = { filled, prompts: PROMPTS, bytes: STEP };
  const answers: Answer[] = [];
  while (answers.length < RUNS) {
    answers.push(await ask<Answer>(join(import.meta.dirname, 'memory-child.ts'), question, ['--expose-gc']));
  }
  const grown = (id: string, what: string, of: keyof Reading): Line => {
    const shares = answers.map(({ before, after }) => 100 * (after[of] / before[of] - 1));
    return { id, what: `${what} after ${PROMPTS} more steps`, value: spreadOf(shares), unit: '%' };
  };
  const resident = answers.map(({ before }) => before.resident / 2 ** 20);
  return {
    lines: [
      {
        id: 'chat-resident',
        what: 'resident memory of a chat in a 100 MB session',
        value: spreadOf(resident),
        unit: 'MiB',
      },
      grown('chat-memory', 'growth of that', 'resident'),
      grown('chat-memory-as-is', 'growth of that, garbage included', 'asIs'),
      grown('chat-memory-alive', 'growth of the part that JavaScript holds', 'alive'),
    ],
    curves: [],
    notes: ['memory: a step is a prompt of 1 KB and its reply by demo/echo, two saves'],
  };
};
