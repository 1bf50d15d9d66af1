import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Seen } from '../../src/vault/marks/seen.ts';
import type { Place } from '../support/coffer.ts';
import { emptyVault, type Marks, sealShare } from '../support/vast.ts';

/** Number of processes that fill a vault: most of the time is spent waiting for the file system. */
const PROCESSES = 2;

/** One in this many sessions was begun in the folder in which coffer is started. */
export const PROJECTS = 20;

/** Returns the title of the session with that number. */
export function titleOf(number: number): string {
  return `what is the capital of country ${number}`;
}

/**
 * Fills a place's vault with that many small sessions, as if each had been begun and closed, one
 * minute apart. Nothing is flushed.
 */
export async function fillSessions(place: Place, sessions: number): Promise<void> {
  const { unlocked, place: vault } = await emptyVault({ directory: place.data, env: place.libraryEnv });
  const share = Math.ceil(sessions / PROCESSES);
  const firsts = Array.from({ length: PROCESSES }, (_, at) => at * share);
  const shares = await Promise.all(
    firsts.map(async (first) => {
      const args = [place.data, place.project, String(first), String(Math.min(share, sessions - first))];
      const env = { ...process.env, ...place.libraryEnv };
      const options = { env, maxBuffer: 2 ** 28 };
      const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, ...args], options);
      return JSON.parse(stdout) as [fileId: string, link: string][];
    }),
  );
  const marks: Marks = new Map();
  for (const [fileId, link] of shares.flat()) {
    marks.set(fileId, { generation: 1n, frames: 1, link: Buffer.from(link, 'hex') });
  }
  new Seen(vault).record(unlocked, marks);
}

// As a program: arguments are an existing vault, the folder in which some were begun, the first
// number and how many. Prints the marks of what it made.
if (import.meta.main) {
  const [directory = '', project = '', first = '', sessions = ''] = process.argv.slice(2);
  const marks = sealShare(await emptyVault({ directory, env: process.env }), {
    first: Number(first),
    sessions: Number(sessions),
    events: (number) => [{ type: 'message', message: { role: 'user', content: titleOf(number) } }],
    projectOf: (number) => (number % PROJECTS === 7 ? project : `/work/project-${number % PROJECTS}`),
  });
  console.log(JSON.stringify([...marks].map(([fileId, { link }]) => [fileId, link.toString('hex')])));
}
