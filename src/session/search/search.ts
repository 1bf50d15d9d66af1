import { setImmediate } from 'node:timers/promises';
import { CofferError, isCofferError } from '../../errors.ts';
import type { TextIndex } from '../../vault/search/text-index.ts';
import type { Row } from '../list/row.ts';
import { LineSearch, sieveFor } from './lines.ts';
import { folded, labelTexts, type Match, matchesIn } from './texts.ts';
import { Trigrams, trigramsOf } from './trigrams.ts';

export type { Match } from './texts.ts';

/** A search result: a row with its matches, or a row that could not be read and the error. */
export type SearchHit =
  | { readonly row: Row; readonly matches: readonly Match[] }
  | { readonly row: Row; readonly error: CofferError };

/** Folds the text to search for, which is taken literally. Throws `USAGE` if it is blank. */
export function wantedText(text: string): string {
  if (text.trim() !== '') return folded(text);
  throw new CofferError('USAGE', 'there is nothing to search for', { advice: 'give a text of at least one character' });
}

/** The part of a vault that {@link search} uses: its sessions and, if available, the text index. */
export interface Searched {
  scan(row: Pick<Row, 'fileId'>, onLines: (lines: Buffer) => void): Promise<void>;
  texts?(): Promise<TextIndex>;
}

/**
 * Searches rows for a text folded by {@link wantedText}: in messages, tool calls and results,
 * summaries, instructions, errors, names and tags. Yields results as they are found, with one
 * session in memory at a time. Doesn't open sessions that, according to the index, lack the text.
 * After the last result, sessions missing from the index are indexed in the background. `onLooked`
 * is called with the number of rows done.
 */
export async function* search(
  sessions: Searched,
  rows: readonly Row[],
  wanted: string,
  onLooked: (done: number) => void = () => undefined,
): AsyncGenerator<SearchHit> {
  const sieve = sieveFor(wanted);
  const readable = rows.filter(({ unreadable }) => unreadable === undefined);
  const texts = readable.length === 0 ? undefined : await sessions.texts?.();
  const looked = await texts?.lookUp(readable, trigramsOf(wanted));
  const failed = new Set<string>();
  let since = performance.now();
  for (const [at, row] of rows.entries()) {
    const isOpened = !looked?.without.has(row.fileId);
    const found: SearchHit = isOpened
      ? await look(sessions, row, wanted, new LineSearch(wanted, sieve))
      : { row, matches: marked(row, wanted) };
    onLooked(at + 1);
    if ('error' in found) failed.add(row.fileId);
    if ('error' in found || found.matches.length > 0) yield found;
    if (performance.now() - since < PAUSE_MS) continue;
    await setImmediate(); // reading is synchronous: let signals and closed pipes in
    since = performance.now();
  }
  let trigrams: Trigrams | undefined;
  const unknown = looked?.unknown.filter((fileId) => !failed.has(fileId)) ?? [];
  texts?.keep(unknown, (fileId) => {
    trigrams ??= new Trigrams();
    return gather(sessions, fileId, trigrams);
  });
}

/** Maximum time between yields to the event loop. Yielding after every fast row would be slow. */
const PAUSE_MS = 20;

async function look(sessions: Searched, row: Row, wanted: string, inside: LineSearch): Promise<SearchHit> {
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
  return labelTexts(row).flatMap((said) => matchesIn(said, wanted));
}

async function gather(sessions: Searched, fileId: string, trigrams: Trigrams): Promise<Uint32Array> {
  trigrams.clear(); // a previous file may have failed halfway
  await sessions.scan({ fileId }, (lines) => trigrams.add(lines));
  return trigrams.gathered;
}
