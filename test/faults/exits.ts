import type { Campaign, Control } from './campaign.ts';
import { type Outcome, runCase } from './exits-case.ts';
import { type Way, ways } from './exits-endings.ts';
import { type Moment, moments } from './exits-moments.ts';

/** So many chats at a time. */
const LANES = 2;
const CONTROL_TIMES = 3;

/** Every exit: each way a chat can end, at each moment. */
export const campaign: Campaign = {
  name: 'every exit',
  needs: ['strace', 'stty'],
  async run(_folder, tell) {
    const cases = moments.flatMap((moment) => ways.filter((way) => fits(moment, way)).map((way) => ({ moment, way })));
    const results = await runAll(cases, undefined, tell);
    const controls = [
      await control('a save that nobody waits for', 'raise', cases.filter(isHurried), tell),
      await control('handlers for one signal only', 'once', cases.filter(isTwice), tell),
    ];
    return {
      cases: results.length,
      lost: results.reduce((sum, { lost }) => sum + lost.length, 0),
      controls,
      notes: [`${ways.length} ways at ${moments.length} moments`],
      failures: results.flatMap(({ name, lost, wrong }) => [
        ...lost.map((what) => `${name}: lost: ${what}`),
        ...wrong.map((what) => `${name}: ${what}`),
      ]),
    };
  },
};

interface Case {
  readonly moment: Moment;
  readonly way: Way;
}

/** Where the input has ended there is nobody who types. */
function fits(moment: Moment, way: Way): boolean {
  return !moment.closing || (way.on === 'terminal' && !way.name.startsWith('Ctrl'));
}

/** An end by one signal while something is not on disk yet. */
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
      const outcome = await runCase(next.moment, next.way, wrongExit).catch((error: unknown): Outcome => {
        return { lost: [], wrong: [`broke off: ${error instanceof Error ? error.message : String(error)}`] };
      });
      results.push({ name, ...outcome });
      const faults = [...outcome.lost.map((what) => `lost: ${what}`), ...outcome.wrong].join('; ');
      tell(`${wrongExit === undefined ? '' : `${wrongExit}: `}${name}: ${faults || 'as promised'}`);
    }
  };
  // A terminal that is open beside it keeps another one from being closed: those come one by one.
  const isAlone = ({ way }: Case): boolean => way.name === 'the terminal closed';
  const together = cases.filter((each) => !isAlone(each));
  await Promise.all(Array.from({ length: LANES }, () => run(together)));
  await run(cases.filter(isAlone));
  return results;
}

/** The same program with another guard: something must be lost. */
async function control(
  name: string,
  wrongExit: 'raise' | 'once',
  cases: readonly Case[],
  tell: (line: string) => void,
): Promise<Control> {
  const results: Result[] = [];
  const caught = (): number => results.filter(({ lost }) => lost.length > 0).length;
  // On a busy machine two signals may come as one.
  for (let time = 0; time < CONTROL_TIMES && caught() === 0; time++) {
    results.push(...(await runAll(cases, wrongExit, tell)));
  }
  return { name, caught: caught(), cases: results.length };
}
