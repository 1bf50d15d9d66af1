import { closeSync, fdatasyncSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Event, NewEvent } from '../src/session/event/event.ts';
import type { Session } from '../src/session/session.ts';
import type { Sessions } from '../src/session/sessions.ts';
import { eventsOf, Transcript } from './transcript.ts';

/** Maximum number of events in one call: arguments are on the stack. */
const MOST = 5000;

/**
 * The way a step wrote the file: `appended` a frame; `overwritten`: rewrote the whole file, as usual
 * for its size; `folded`: rewrote it to merge appended frames.
 */
export type Kind = 'appended' | 'overwritten' | 'folded';

/** The time of one step, and how it wrote the file. */
export interface Taken {
  readonly time: number;
  readonly kind: Kind;
}

/** Runs a step and returns a measurement of it. Default: its time in milliseconds. */
export type Timer = (work: () => Promise<void>) => Promise<number>;

/**
 * The size range of a session: it starts with `from` bytes of plaintext, and is restarted when a
 * step would exceed `to`.
 */
export interface Room {
  readonly from: number;
  readonly to: number;
}

/**
 * Returns the events of a step: one turn of about `bytes` of plaintext (lines of JSON). Its text is
 * shorter, by the JSON around it.
 */
export function turnOf(transcript: Transcript, bytes: number): NewEvent[] {
  return transcript.turn(Math.round((bytes - 850) / 1.13));
}

/** Adds ids and times to events, as a session would, for peers that store them without coffer. */
export function* placed(events: Iterable<NewEvent>, ids: { next: number }): Generator<Event> {
  for (const event of events) yield { id: ids.next++, ts: Date.now(), ...event };
}

/** A coffer session whose steps are measured. */
export class SteppedSession implements AsyncDisposable {
  /** The bytes that the last step other than a fold wrote to disk. */
  written: Buffer = Buffer.alloc(0);
  readonly #sessions: Sessions;
  readonly #room: Room;
  readonly #transcript: Transcript;
  readonly #past = new Transcript(1);
  #session: Session | undefined;
  #length = 0;
  /** The file's inode after the last step. */
  #left: number | undefined;
  /** Whether a frame has been appended since the file was last rewritten. */
  #appended = false;

  /** The steps come only from `transcript`, so that peers can receive the same. */
  constructor(sessions: Sessions, room: Room, transcript: Transcript) {
    this.#sessions = sessions;
    this.#room = room;
    this.#transcript = transcript;
  }

  /** Appends about `bytes` of plaintext. */
  async step(bytes: number, timer: Timer = stopwatch): Promise<Taken> {
    const session = await this.#ready(bytes);
    const path = this.#path(session);
    const before = statSync(path);
    if (before.ino !== (this.#left ?? before.ino))
      throw new Error('the file was rewritten between two steps, unmeasured');
    const events = turnOf(this.#transcript, bytes);
    const time = await timer(() => session.append(...events));
    this.#length += bytes;
    const after = statSync(path);
    this.#left = after.ino;
    return { time, kind: this.#see(path, before, after) };
  }

  /** Closes the session; returns the time it took. */
  async close(timer: Timer = stopwatch): Promise<number> {
    const session = this.#session;
    this.#session = undefined;
    return session ? timer(() => session.close()) : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ready(bytes: number): Promise<Session> {
    const { from, to } = this.#room;
    if (this.#session && this.#length + bytes <= to) return this.#session;
    await this.close();
    this.#session = await begin(this.#sessions, eventsOf(this.#past, from));
    this.#length = from;
    this.#left = undefined;
    this.#appended = false;
    return this.#session;
  }

  #see(path: string, before: { ino: number; size: number }, after: { ino: number; size: number }): Kind {
    if (after.ino === before.ino) {
      if (after.size <= before.size) throw new Error('the step appended nothing');
      this.written = readFrom(path, before.size, after.size);
      this.#appended = true;
      return 'appended';
    }
    const kind = this.#appended ? 'folded' : 'overwritten';
    if (kind === 'overwritten') this.written = readFileSync(path);
    this.#appended = false;
    return kind;
  }

  #path(session: Session): string {
    return join(this.#sessions.directory, 'sessions', session.fileId ?? '');
  }
}

/**
 * The least work that makes bytes durable: appends to a file that stays open, without a seal, a
 * name, a lock or any recovery.
 */
export class Floor implements Disposable {
  readonly #file: number;
  #end = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
  }

  /** Returns the time it took, in milliseconds. */
  append(bytes: Uint8Array): number {
    const start = performance.now();
    const written = writeSync(this.#file, bytes, 0, bytes.length, this.#end);
    fdatasyncSync(this.#file);
    const time = performance.now() - start;
    if (written !== bytes.length) throw new Error('the disk is full');
    this.#end += written;
    return time;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Returns the time in milliseconds. */
const stopwatch: Timer = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** Begins a session with these events, in one frame however many there are. */
async function begin(sessions: Sessions, events: readonly NewEvent[]): Promise<Session> {
  const session = sessions.begin({ directory: '/work/project', model: 'demo/echo' });
  for (let start = 0; start < events.length; start += MOST) await session.append(...events.slice(start, start + MOST));
  if (events.length <= MOST) return session;
  await session.close();
  return sessions.resume(await sessions.find(session.uuid));
}

function readFrom(path: string, from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from);
  const file = openSync(path, 'r');
  try {
    readSync(file, bytes, 0, bytes.length, from);
  } finally {
    closeSync(file);
  }
  return bytes;
}
