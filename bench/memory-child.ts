import { turn } from '../src/chat/loop.ts';
import { demoModel } from '../src/chat/models/demo.ts';
import { Transcript } from './transcript.ts';
import { type Filled, openFilled } from './vaults.ts';
import { answer } from './vaults-fork.ts';

/** The child's task: resume the only session of a vault and send some prompts. */
export interface Question {
  readonly filled: Filled;
  readonly prompts: number;
  /** Bytes of a prompt and its reply together. */
  readonly bytes: number;
}

/** Memory use, in bytes, after resuming the session and after all prompts were answered. */
export interface Answer {
  readonly before: Reading;
  readonly after: Reading;
}

/** A reading of a process's memory. */
export interface Reading {
  /** Resident memory before garbage collection. */
  readonly asIs: number;
  /** Resident memory after all garbage was collected. */
  readonly resident: number;
  /** The part of it that JavaScript still holds, buffers included. */
  readonly alive: number;
}

answer<Question, Answer>(async ({ filled, prompts, bytes }) => {
  await using sessions = await openFilled(filled);
  const [row] = await sessions.list();
  if (!row) throw new Error('the vault has no session');
  const session = await sessions.resume(row);
  const messages = session.state.messages.length;
  const before = await reading();
  const transcript = new Transcript(row.messages);
  const model = demoModel('echo');
  for (let count = 0; count < prompts; count++) {
    const { outcome } = await turn(session, model, question(transcript, bytes / 2), silent, idle.signal, settings);
    if (outcome !== 'completed') throw new Error(`a reply was ${outcome}`);
  }
  const after = await reading();
  if (session.state.messages.length !== messages + 2 * prompts || session.unsaved !== undefined) {
    throw new Error('not everything was recorded and saved', { cause: session.unsaved?.error });
  }
  await session.close();
  return { before, after };
});

/**
 * A chat's default settings, except that nothing is summarised: a real session of that size would
 * have been summarised many times already.
 */
const settings = { maxMessages: 1000, saveInterval: 30_000, keepMessages: 50, autoCompactAt: false } as const;
const idle = new AbortController();
const silent = { onText: () => undefined };

/** Returns the reply of a made-up turn, as a prompt. */
function question(transcript: Transcript, bytes: number): string {
  const [, , , reply] = transcript.turn(2 * bytes);
  if (reply?.type !== 'message' || typeof reply.message.content !== 'string') throw new Error('a turn ends in a reply');
  return reply.message.content.padEnd(bytes, ' .').slice(0, bytes);
}

async function reading(): Promise<Reading> {
  const { gc } = globalThis;
  if (!gc) throw new Error('start this with --expose-gc');
  const asIs = process.memoryUsage.rss();
  await gc({ type: 'major', execution: 'async' });
  await gc({ type: 'major', execution: 'async' });
  const { rss, heapUsed, external } = process.memoryUsage();
  return { asIs, resident: rss, alive: heapUsed + external };
}
