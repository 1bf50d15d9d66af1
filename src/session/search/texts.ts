import { type Event, isKnown, type Message } from '../event/event.ts';
import type { Row } from '../list/row.ts';

/*
 * The semantics of search: which texts of an event are searched, and what a match shows. The sieve
 * and the index only decide what need not be searched here.
 */

/** A line that contains the text. */
export interface Match {
  /** Id of its event; null for a name or tag from the list. */
  readonly event: number | null;
  /** Role of the message, or `summary`, `instructions`, `error`, `name` or `tag`. */
  readonly role: string;
  readonly line: string;
  /** Index of the match in `line`, in UTF-16 units. */
  readonly at: number;
  /** Length of the match in `line`, in UTF-16 units. */
  readonly length: number;
}

/** A searchable text. */
export interface FoundText {
  readonly event: number | null;
  readonly role: string;
  readonly text: string;
}

/** Folds a text for comparison: ignores case and the composition of accents. */
export function folded(text: string): string {
  return text.normalize('NFC').toLowerCase().replaceAll('ς', 'σ');
}

/** Finds a folded text: at most one match per line. */
export function matchesIn({ event, role, text }: FoundText, wanted: string): Match[] {
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

/** Returns the name and tags of a row as searchable texts. */
export function labelTexts({ name, tags = [] }: Row): FoundText[] {
  const names = name === undefined ? [] : [{ event: null, role: 'name', text: name }];
  return [...names, ...tags.map((text) => ({ event: null, role: 'tag', text }))];
}

/**
 * Returns the searchable texts of an event: messages, reasoning, tool calls and results, file
 * names, summaries, instructions and errors.
 */
export function textsOf(event: Event): FoundText[] {
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

/** Maps an index in the folded line to the line: folding makes a few letters longer. */
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

/** Returns the strings and numbers in a JSON value, at any depth, in order. */
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
