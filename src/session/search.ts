import { setImmediate } from 'node:timers/promises';
import { CofferError, isCofferError } from '../errors.ts';
import { type Event, isKnown, type Message } from './event.ts';
import type { Row } from './row.ts';
import type { Sessions } from './sessions.ts';

/** One line with the text that was looked for. */
export interface Match {
  /** The id of its event; null for a name or a tag that stands in the list. */
  readonly event: number | null;
  /** Who said it, or what it is: `summary`, `error`, `name`, `tag`. */
  readonly role: string;
  readonly line: string;
  /** Where in the line it begins, and how long it is there. */
  readonly at: number;
  readonly length: number;
}

/** What a search came by: a row with its matches, or one that could not be read and why. */
export type Found =
  | { readonly row: Row; readonly matches: readonly Match[] }
  | { readonly row: Row; readonly error: CofferError };

/** What is the same to a search: case, and how accents are put together. */
export function folded(text: string): string {
  return text.normalize('NFC').toLowerCase().replaceAll('ς', 'σ');
}

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
  sessions: Pick<Sessions, 'read'>,
  rows: readonly Row[],
  wanted: string,
  onLooked: (done: number) => void = () => undefined,
): AsyncGenerator<Found> {
  for (const [at, row] of rows.entries()) {
    const found = await look(sessions, row, wanted);
    onLooked(at + 1);
    if ('error' in found || found.matches.length > 0) yield found;
    await setImmediate(); // reading is synchronous: signals and closed pipes get in between
  }
}

async function look(sessions: Pick<Sessions, 'read'>, row: Row, wanted: string): Promise<Found> {
  if (row.unreadable !== undefined) return { row, error: row.unreadable };
  try {
    const { events } = await sessions.read(row);
    return { row, matches: [...marksOf(row), ...events.flatMap(textsOf)].flatMap((said) => matchesIn(said, wanted)) };
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return { row, error };
  }
}

/** Something said, as one text. */
interface Said {
  readonly event: number | null;
  readonly role: string;
  readonly text: string;
}

/** At most one match a line. */
function matchesIn({ event, role, text }: Said, wanted: string): Match[] {
  if (!folded(text).includes(wanted)) return [];
  const lines = wanted.includes('\n') ? [text] : text.split(/\r?\n/);
  return lines.flatMap((raw) => {
    const line = raw.normalize('NFC');
    const start = folded(line).indexOf(wanted);
    if (start === -1) return [];
    const at = unfolded(line, start);
    return [{ event, role, line, at, length: unfolded(line, start + wanted.length) - at }];
  });
}

/** Where in a line a place of its folded form is: a few letters become longer. */
function unfolded(line: string, place: number): number {
  if (folded(line).length === line.length) return place;
  let at = 0;
  let length = 0;
  for (const letter of line) {
    if (length >= place) break;
    length += letter.toLowerCase().length;
    at += letter.length;
  }
  return at;
}

function marksOf({ name, tags = [] }: Row): Said[] {
  const names = name === undefined ? [] : [{ event: null, role: 'name', text: name }];
  return [...names, ...tags.map((text) => ({ event: null, role: 'tag', text }))];
}

function textsOf(event: Event): Said[] {
  if (!isKnown(event)) return [];
  const { id } = event;
  if (event.type === 'compaction') return [{ event: id, role: 'summary', text: event.summary }];
  if (event.type === 'error') return [{ event: id, role: 'error', text: event.message }];
  if (event.type !== 'message') return [];
  const { role, content } = event.message;
  if (typeof content === 'string') return [{ event: id, role, text: content }];
  return content.flatMap(partTexts).map((text) => ({ event: id, role, text }));
}

function partTexts(part: Exclude<Message['content'], string>[number]): string[] {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return [part.text];
    case 'file':
      return part.filename === undefined ? [] : [part.filename];
    case 'tool-call':
      return [part.toolName, ...leavesOf(part.input)];
    case 'tool-result':
      return leavesOf(part.output);
  }
}

/** The texts and numbers in a value of JSON, however deep, in order. */
function leavesOf(value: unknown): string[] {
  const leaves: string[] = [];
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next === 'string') leaves.push(next);
    else if (typeof next === 'number') leaves.push(String(next));
    else if (typeof next === 'object' && next !== null)
      for (const inner of Object.values(next).reverse()) rest.push(inner);
  }
  return leaves;
}
