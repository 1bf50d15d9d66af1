import { setImmediate } from 'node:timers/promises';
import { CofferError, isCofferError } from '../errors.ts';
import type { Row } from './row.ts';
import { LineSearch, sieveFor } from './search-lines.ts';
import { folded, type Match, marksOf, matchesIn } from './search-texts.ts';
import type { Sessions } from './sessions.ts';

export { folded, type Match } from './search-texts.ts';

/** What a search came by: a row with its matches, or one that could not be read and why. */
export type Found =
  | { readonly row: Row; readonly matches: readonly Match[] }
  | { readonly row: Row; readonly error: CofferError };

/** Gives the text to look for, which is never a pattern. Throws `USAGE` where there is none. */
export function wantedText(text: string): string {
  if (text.trim() !== '') return folded(text);
  throw new CofferError('USAGE', 'there is nothing to search for; give a text of at least one character');
}

/**
 * Looks through rows, one session in memory at a time, for a text that {@link wantedText} gave: in their messages, tool calls and
 * results, summaries, names and tags. Gives what it finds as it finds it; `onLooked` is told how many rows are done.
 */
export async function* search(
  sessions: Pick<Sessions, 'scan'>,
  rows: readonly Row[],
  wanted: string,
  onLooked: (done: number) => void = () => undefined,
): AsyncGenerator<Found> {
  const { decodeEvents } = await import('./event-schema.ts');
  const sieve = sieveFor(wanted);
  const lineSearch = (): LineSearch => new LineSearch(wanted, sieve, decodeEvents);
  let since = performance.now();
  for (const [at, row] of rows.entries()) {
    const found = await look(sessions, row, wanted, lineSearch());
    onLooked(at + 1);
    if ('error' in found || found.matches.length > 0) yield found;
    if (performance.now() - since < PAUSE_MS) continue;
    await setImmediate(); // reading is synchronous: signals and closed pipes get in between
    since = performance.now();
  }
}

/** After so long at the latest whatever waits is let in: a thousand rows read in a blink need not wait a thousand times. */
const PAUSE_MS = 5;

async function look(sessions: Pick<Sessions, 'scan'>, row: Row, wanted: string, inside: LineSearch): Promise<Found> {
  if (row.unreadable !== undefined) return { row, error: row.unreadable };
  try {
    await sessions.scan(row, (lines) => inside.add(lines));
    return { row, matches: [...marksOf(row).flatMap((said) => matchesIn(said, wanted)), ...inside.matches] };
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return { row, error };
  }
}
