import type { Message } from './event.ts';

/** The first words of a message, at most 80 characters; undefined if it has none. Looks no further than a title goes: a message may have a hundred megabytes. */
export function titleOf(message: Message): string | undefined {
  const units = 2 * TITLE;
  let words = '';
  for (const [word] of textOf(message).matchAll(/\S+/g)) {
    words += `${words && ' '}${word.slice(0, units)}`;
    if (words.length >= units) break;
  }
  return words === '' ? undefined : [...words.slice(0, units)].slice(0, TITLE).join('');
}

/** How many characters of the first message make the title. */
const TITLE = 80;

/** The text of a message, its parts joined; what is not text is left out. */
export function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  return message.content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}
