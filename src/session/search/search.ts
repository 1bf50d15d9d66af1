import { setImmediate } from 'node:timers/promises';
import { CofferError, isCofferError } from '../../errors.ts';
import type { Row } from '../list/row.ts';
import type { Sessions } from '../sessions.ts';
import { LineSearch, sieveFor } from './lines.ts';
import { folded, type Match, marksOf, matchesIn } from './texts.ts';
import { Trigrams, trigramsOf } from './trigrams.ts';

export type { Match } from './texts.ts';

/** What a search came by: a row with its matches, or one that could not be read and why. */
export type Found =
  | { readonly row: Row; readonly matches: readonly Match[] }
  | { readonly row: Row; readonly error: CofferError };

/** Gives the text to look for, which is never a pattern. Throws `USAGE` where there is none. */
export function wantedText(text: string): string {
  if (text.trim() !== '') return folded(text);
  throw new CofferError('USAGE', 'there is nothing to search for', { advice: 'give a text of at least one character' });
}

/** What a search needs: sessions to look into, and the index of what is said in them where there is one. */
export type Searched = Pick<Sessions, 'scan'> & Partial<Pick<Sessions, 'texts'>>;

/**
 * Looks through rows, one session in memory at a time, for a text that {@link wantedText} gave: in their messages, tool calls and
 * results, summaries, names and tags. Sessions that the index knows not to have it are not opened; once all is found, the index takes
 * up those it did not know, in the background. Gives what it finds as it finds it; `onLooked` is told how many rows are done.
 */
export async function* search(
  sessions: Searched,
  rows: readonly Row[],
  wanted: string,
  onLooked: (done: number) => void = () => undefined,
): AsyncGenerator<Found> {
  const sieve = sieveFor(wanted);
  const readable = rows.filter(({ unreadable }) => unreadable === undefined);
  const texts = readable.length === 0 ? undefined : await sessions.texts?.();
  const looked = await texts?.lookUp(readable, trigramsOf(wanted));
  const failed = new Set<string>();
  let since = performance.now();
  for (const [at, row] of rows.entries()) {
    const isOpened = !looked?.without.has(row.fileId);
    const found: Found = isOpened
      ? await look(sessions, row, wanted, new LineSearch(wanted, sieve))
      : { row, matches: marked(row, wanted) };
    onLooked(at + 1);
    if ('error' in found) failed.add(row.fileId);
    if ('error' in found || found.matches.length > 0) yield found;
    if (performance.now() - since < PAUSE_MS) continue;
    await setImmediate(); // reading is synchronous: signals and closed pipes get in between
    since = performance.now();
  }
  let trigrams: Trigrams | undefined;
  const unknown = looked?.unknown.filter((fileId) => !failed.has(fileId)) ?? [];
  texts?.keep(unknown, (fileId) => {
    trigrams ??= new Trigrams();
    return gather(sessions, fileId, trigrams);
  });
}

/** After so long at the latest whatever waits is let in: a thousand rows read in a blink need not wait a thousand times. */
const PAUSE_MS = 20;

async function look(sessions: Searched, row: Row, wanted: string, inside: LineSearch): Promise<Found> {
  if (row.unreadable !== undefined) return { row, error: row.unreadable };
  try {
    await sessions.scan(row, (lines) => inside.add(lines));
    return { row, matches: [...marked(row, wanted), ...inside.matches] };
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return { row, error };
  }
}

function marked(row: Row, wanted: string): Match[] {
  return marksOf(row).flatMap((said) => matchesIn(said, wanted));
}

async function gather(sessions: Searched, fileId: string, trigrams: Trigrams): Promise<Uint32Array> {
  trigrams.clear(); // of a file that could not be read to its end
  await sessions.scan({ fileId }, (lines) => trigrams.add(lines));
  return trigrams.gathered;
}
