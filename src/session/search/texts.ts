import { type Event, isKnown, type Message } from '../event/event.ts';
import type { Row } from '../list/row.ts';

/*
 * What a search means: which texts of an event it looks into, and what of them it shows. Whatever makes a search fast only
 * decides what is not brought here.
 */

/** One line with the text that was looked for. */
export interface Match {
  /** The id of its event; null for a name or a tag that stands in the list. */
  readonly event: number | null;
  /** Who said it, or what it is: `summary`, `instructions`, `error`, `name`, `tag`. */
  readonly role: string;
  readonly line: string;
  /** Where in the line it begins, and how long it is there. */
  readonly at: number;
  readonly length: number;
}

/** Something said, as one text. */
export interface Said {
  readonly event: number | null;
  readonly role: string;
  readonly text: string;
}

/** What is the same to a search: case, and how accents are put together. */
export function folded(text: string): string {
  return text.normalize('NFC').toLowerCase().replaceAll('ς', 'σ');
}

/** Finds a folded text in what was said: at most one match a line. */
export function matchesIn({ event, role, text }: Said, wanted: string): Match[] {
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

/** The name and the tags of a row. */
export function marksOf({ name, tags = [] }: Row): Said[] {
  const names = name === undefined ? [] : [{ event: null, role: 'name', text: name }];
  return [...names, ...tags.map((text) => ({ event: null, role: 'tag', text }))];
}

/** What an event says: of messages, tool calls and results, reasoning, summaries, instructions and errors. */
export function textsOf(event: Event): Said[] {
  if (!isKnown(event)) return [];
  const { id } = event;
  if (event.type === 'compaction') return [{ event: id, role: 'summary', text: event.summary }];
  if (event.type === 'instructions') return [{ event: id, role: 'instructions', text: event.text }];
  if (event.type === 'error') return [{ event: id, role: 'error', text: event.message }];
  if (event.type !== 'message') return [];
  const { role, content } = event.message;
  if (typeof content === 'string') return [{ event: id, role, text: content }];
  return content.flatMap(partTexts).map((text) => ({ event: id, role, text }));
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
