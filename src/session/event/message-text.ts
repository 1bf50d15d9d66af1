import type { Message } from './event.ts';

/**
 * Returns the first words of a message, at most 80 characters; undefined if it has none. Reads no
 * further than needed, because a message may have a hundred megabytes.
 */
export function titleOf(message: Message): string | undefined {
  const units = 2 * TITLE;
  let words = '';
  for (const [word] of textOf(message).matchAll(/\S+/g)) {
    words += `${words && ' '}${word.slice(0, units)}`;
    if (words.length >= units) break;
  }
  return words === '' ? undefined : [...words.slice(0, units)].slice(0, TITLE).join('');
}

/** Maximum characters of a title. */
const TITLE = 80;

/** Returns the text of a message: its text parts joined, other parts omitted. */
export function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  return message.content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}
