import type { Campaign, Control } from './campaign.ts';
import { type Outcome, runCase } from './exits-case.ts';
import { type Way, ways } from './exits-endings.ts';
import { type Moment, moments } from './exits-moments.ts';
import type { Sample } from './sample.ts';

/** Number of chats at a time. */
const LANES = 2;
const CONTROL_TIMES = 3;
/** The short form tries one way to end in this many at each moment. */
const INTERVAL = 10;
/**
 * Cases of a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 3;

/** Every exit: each way a chat can end, at each moment. */
export const campaign: Campaign = {
  name: 'every exit',
  needs: ['strace', 'stty'],
  limits: { short: 180, whole: 1200 },
  async run(_folder, tell, sample) {
    const all = moments.flatMap((moment) => ways.filter((way) => fits(moment, way)).map((way) => ({ moment, way })));
    const cases = [...sample.of(all, INTERVAL, ({ moment }) => moment.name)];
    const results = await runAll(cases, undefined, tell);
    const controls = [
      await control('a save that nobody waits for', 'raise', all.filter(isHurried), tell, sample),
      await control('handlers for one signal only', 'once', all.filter(isTwice), tell, sample),
    ];
    return {
      cases: results.length,
      lost: results.reduce((sum, { lost }) => sum + lost.length, 0),
      controls,
      notes: [`${countOf(cases, ({ way }) => way)} ways at ${countOf(cases, ({ moment }) => moment)} moments`],
      failures: results.flatMap(({ name, lost, wrong }) => [
        ...lost.map((what) => `${name}: lost: ${what}`),
        ...wrong.map((what) => `${name}: ${what}`),
      ]),
    };
  },
};

function countOf(cases: readonly Case[], part: (one: Case) => unknown): number {
  return new Set(cases.map(part)).size;
}

interface Case {
  readonly moment: Moment;
  readonly way: Way;
}

/** Returns whether a way fits a moment: after the end of input, nothing can be typed. */
function fits(moment: Moment, way: Way): boolean {
  return !moment.closing || (way.on === 'terminal' && !way.name.startsWith('Ctrl'));
}

/** Returns whether one signal ends the chat while something is not on disk yet. */
function isHurried({ moment, way }: Case): boolean {
  const unsaved = ['streaming', 'saving for the first time', 'overwriting'].includes(moment.name);
  return unsaved && ['SIGINT', 'SIGTERM', 'SIGHUP'].includes(way.name);
}

function isTwice({ way }: Case): boolean {
  return way.name.startsWith('SIGTERM twice');
}

type Result = Outcome & { readonly name: string };

async function runAll(
  cases: readonly Case[],
  wrongExit: string | undefined,
  tell: (line: string) => void,
): Promise<Result[]> {
  const results: Result[] = [];
  const run = async (queue: Case[]): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const name = `${next.way.name} while ${next.moment.name}`;
      tell(name);
      const outcome = await runCase(next.moment, next.way, wrongExit).catch((error: unknown): Outcome => {
        return { lost: [], wrong: [`broke off: ${error instanceof Error ? error.message : String(error)}`] };
      });
      results.push({ name, ...outcome });
      const faults = [...outcome.lost.map((what) => `lost: ${what}`), ...outcome.wrong].join('; ');
      tell(`${wrongExit === undefined ? '' : `${wrongExit}: `}${name}: ${faults || 'as promised'}`);
    }
  };
  // Another open terminal keeps a terminal from being closed, so these cases run one at a time.
  const isAlone = ({ way }: Case): boolean => way.name === 'the terminal closed';
  const together = cases.filter((each) => !isAlone(each));
  await Promise.all(Array.from({ length: LANES }, () => run(together)));
  await run(cases.filter(isAlone));
  return results;
}

/** Runs the same program with another guard: something must be lost. */
async function control(
  name: string,
  wrongExit: 'raise' | 'once',
  cases: readonly Case[],
  tell: (line: string) => void,
  sample: Sample,
): Promise<Control> {
  const results: Result[] = [];
  const caught = (): number => results.filter(({ lost }) => lost.length > 0).length;
  // On a busy machine two signals may arrive as one.
  for (let time = 0; time < CONTROL_TIMES && caught() === 0; time++) {
    for (const batch of sample.batches(cases, BATCH)) {
      if (caught() === 0) results.push(...(await runAll(batch, wrongExit, tell)));
    }
  }
  return { name, caught: caught(), cases: results.length };
}
