import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { type Filled, keyOf, openFilled, pathOf } from './vaults.ts';
import { answer, peakMemory } from './vaults-fork.ts';
import { rawEvents, rawSegments } from './vaults-raw.ts';

/** Ways to read the events of a session. */
export type Way = 'coffer' | 'floor' | 'sqlite' | 'jsonl';

/**
 * The child's task: to resume session `number`, after the small session `before`, so that its code
 * is loaded and has run once.
 */
export interface Question {
  readonly way: Way;
  readonly filled: Filled;
  readonly before: number;
  readonly number: number;
  /** The peers' files of the sessions, by session number. */
  readonly peers: readonly { readonly sqlite: string; readonly jsonl: string }[];
}

/** The time it took, and the result. */
export interface Answer {
  readonly milliseconds: number;
  /** Peak resident memory, in bytes. */
  readonly peak: number;
  readonly events: number;
  /** A hash over a sample of the events. */
  readonly digest: string;
}

type Resume = (number: number) => Promise<{ milliseconds: number; events: readonly unknown[] }>;

answer<Question, Answer>(async (question) => {
  const resume = await waysTo[question.way](question);
  await resume(question.before);
  const { milliseconds, events } = await resume(question.number);
  const peak = peakMemory();
  return { milliseconds, peak, events: events.length, digest: digestOf(events) };
});

const waysTo: Readonly<Record<Way, (question: Question) => Promise<Resume>>> = {
  async coffer({ filled }) {
    const sessions = await openFilled(filled);
    const rows = await sessions.list();
    return async (number) => {
      const row = rows.find(({ fileId }) => fileId === filled.fileIds[number]);
      if (!row) throw new Error(`session ${number} is not in the list`);
      const start = performance.now();
      const session = await sessions.resume(row);
      const milliseconds = performance.now() - start;
      const { events } = session;
      if (session.state.messages.length === 0 || session.lost !== undefined)
        throw new Error('the session is incomplete');
      await session.close();
      return { milliseconds, events };
    };
  },
  async floor({ filled }) {
    const key = keyOf(filled);
    return timed((number) => {
      const events: unknown[] = [];
      for (const lines of rawSegments(pathOf(filled, number), key))
        for (const event of rawEvents(lines)) events.push(event);
      return events;
    });
  },
  async sqlite({ peers }) {
    return timed((number) => {
      const database = new DatabaseSync(peers[number]?.sqlite ?? '', { readOnly: true });
      const rows = database.prepare('SELECT event FROM events ORDER BY id').all();
      const events = rows.map(({ event }) => JSON.parse(String(event)) as unknown);
      database.close();
      return events;
    });
  },
  async jsonl({ peers }) {
    return timed((number) => rawEvents(readFileSync(peers[number]?.jsonl ?? '')));
  },
};

function timed(read: (number: number) => unknown[]): Resume {
  return async (number) => {
    const start = performance.now();
    const events = read(number);
    return { milliseconds: performance.now() - start, events };
  };
}

/**
 * Hashes every hundredth event, and the last one. Keys are sorted, as validation may reorder the
 * fields.
 */
function digestOf(events: readonly unknown[]): string {
  const hash = createHash('sha256');
  const sample = events.filter((_, at) => at % 100 === 0 || at === events.length - 1);
  for (const event of sample) hash.update(JSON.stringify(event, sorted));
  return hash.digest('hex');
}

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
