import type { Campaign, Control } from './campaign.ts';
import { type Outcome, runCase } from './exits-case.ts';
import { type Way, ways } from './exits-endings.ts';
import { type Moment, moments } from './exits-moments.ts';

/** So many chats at a time. */
const LANES = 2;

/** Every exit: each way a chat can end, at each moment. */
export const campaign: Campaign = {
  name: 'every exit',
  needs: ['strace', 'stty'],
  async run(_folder, tell) {
    const cases = moments.flatMap((moment) => ways.filter((way) => fits(moment, way)).map((way) => ({ moment, way })));
    const results = await runAll(cases, undefined, tell);
    const controls = [
      await control('a save that is not waited for', 'raise', tell),
      await control('handlers that are gone at the second signal', 'once', tell),
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

/** The same program with another guard: where it streams or saves, something must be lost. */
async function control(name: string, wrongExit: string, tell: (line: string) => void): Promise<Control> {
  const at = moments.filter((moment) =>
    ['streaming', 'saving for the first time', 'overwriting'].includes(moment.name),
  );
  const by = ways.filter((way) => way.seen.signal !== null && way.name !== 'the terminal closed');
  const results = await runAll(
    at.flatMap((moment) => by.map((way) => ({ moment, way }))),
    wrongExit,
    tell,
  );
  return { name, caught: results.filter(({ lost }) => lost.length > 0).length, cases: results.length };
}
