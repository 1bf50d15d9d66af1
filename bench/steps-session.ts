import { closeSync, fdatasyncSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Event, NewEvent } from '../src/session/event/event.ts';
import type { Session } from '../src/session/session.ts';
import type { Sessions } from '../src/session/sessions.ts';
import { eventsOf, Transcript } from './transcript.ts';

/** How many events are given to one call: arguments stand on the stack. */
const MOST = 5000;

/** What a step did to the file: a frame behind its end, all of it anew as ever, or all of it anew because of frames behind the first. */
export type Kind = 'appended' | 'overwritten' | 'folded';

/** How long one step took, and what it did. */
export interface Taken {
  readonly time: number;
  readonly kind: Kind;
}

/** Runs a step and gives what is to be known of it: how long it took, unless told. */
export type Timer = (work: () => Promise<void>) => Promise<number>;

/** How large a session is to be: it is begun with `from` bytes of plaintext, and anew when a step would take it beyond `to`. */
export interface Room {
  readonly from: number;
  readonly to: number;
}

/** Every step is one turn that is about so many bytes of plaintext (lines of JSON): what is in them is shorter by what stands around it. */
export function turnOf(transcript: Transcript, bytes: number): NewEvent[] {
  return transcript.turn(Math.round((bytes - 850) / 1.13));
}

/** Gives events the places they would have in a session, for those who keep them without coffer. */
export function* placed(events: Iterable<NewEvent>, ids: { next: number }): Generator<Event> {
  for (const event of events) yield { id: ids.next++, ts: Date.now(), ...event };
}

/** A session of coffer's that steps are measured in. */
export class SteppedSession implements AsyncDisposable {
  /** The bytes that the last step but a fold put on disk. */
  written: Buffer = Buffer.alloc(0);
  readonly #sessions: Sessions;
  readonly #room: Room;
  readonly #transcript: Transcript;
  readonly #past = new Transcript(1);
  #session: Session | undefined;
  #length = 0;
  /** As the last step left the file. */
  #left: number | undefined;
  /** A frame has been appended since the file was last written as a whole. */
  #appended = false;

  /** The steps are those of `transcript` and nothing else is, so that others can be given the same. */
  constructor(sessions: Sessions, room: Room, transcript: Transcript) {
    this.#sessions = sessions;
    this.#room = room;
    this.#transcript = transcript;
  }

  /** Adds about so many bytes. */
  async step(bytes: number, timer: Timer = stopwatch): Promise<Taken> {
    const session = await this.#ready(bytes);
    const path = this.#path(session);
    const before = statSync(path);
    if (before.ino !== (this.#left ?? before.ino)) throw new Error('it was written between two steps, unmeasured');
    const events = turnOf(this.#transcript, bytes);
    const time = await timer(() => session.append(...events));
    this.#length += bytes;
    const after = statSync(path);
    this.#left = after.ino;
    return { time, kind: this.#see(path, before, after) };
  }

  /** Leaves the session; gives how long that took. */
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
      if (after.size <= before.size) throw new Error('the step put nothing behind the end of the file');
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

/** The least that makes bytes durable, behind the end of a file that stays open: no seal, no name, no lock, no way back. */
export class Floor implements Disposable {
  readonly #file: number;
  #end = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
  }

  /** Gives how long it took. */
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

/** How long it takes. */
const stopwatch: Timer = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** Begins a session with these events, in one frame however many they are. */
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
