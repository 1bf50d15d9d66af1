import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NewEvent } from '../src/session/event.ts';
import type { Session } from '../src/session/session.ts';
import type { Sessions } from '../src/session/sessions.ts';

const MODEL = 'demo/echo';

/** Words of a text about programs: a conversation of them shrinks by compression about as much as a genuine one. */
const WORDS: readonly string[] = readFileSync(join(import.meta.dirname, '../SECURITY.md'), 'utf8').split(/\s+/);

/** Begins a session and brings it to `bytes` of text by one step. */
export async function beginSession(sessions: Sessions, bytes: number): Promise<Session> {
  const session = sessions.begin({ directory: '/work/project', model: MODEL });
  const events: NewEvent[] = [];
  for (let length = 0; length < bytes; length += 4096) events.push(...turn(Math.min(4096, bytes - length)));
  await session.append(...events);
  return session;
}

/** A question and its reply, `bytes` of text together. */
export function turn(bytes: number): NewEvent[] {
  const question = Math.floor(bytes / 8);
  return [
    { type: 'message', message: { role: 'user', content: text(question) } },
    { type: 'message', model: MODEL, message: { role: 'assistant', content: text(bytes - question) } },
    { type: 'usage', model: MODEL, usage: { inputTokens: 500, outputTokens: 400, cost: null } },
  ];
}

function text(length: number): string {
  const words: string[] = [];
  for (let at = 0; at < length; ) {
    const word = WORDS[randomInt(WORDS.length)] ?? '';
    words.push(word);
    at += word.length + 1;
  }
  return words.join(' ').slice(0, length);
}
