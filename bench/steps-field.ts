import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Chain } from '../src/envelope/chain.ts';
import { VaultKey } from '../src/envelope/key.ts';
import { sealFrame } from '../src/envelope/seal.ts';
import type { Event } from '../src/session/event/event.ts';
import type { Sessions } from '../src/session/sessions.ts';
import type { Task } from './measure.ts';
import type { OpenPeer, Peer } from './peers/peer.ts';
import { Floor, placed, SteppedSession, type Taken, turnOf } from './steps-session.ts';
import { eventsOf, Transcript } from './transcript.ts';

/** Size of the new events of one step, in bytes of plaintext. */
export const STEP = 2048;

/** Bytes of overhead for a summary and one segment in a frame of one chunk. */
const AROUND = 4 + 56 + 4 + 8 + 9 + 16;

/** The location of a field's session, floor and peers. */
export interface Ground {
  readonly sessions: Sessions;
  readonly folder: string;
}

/**
 * Everything that is measured at one session size: coffer, the floor, and the peers that are
 * opened.
 */
export class Field implements AsyncDisposable {
  readonly bytes: number;
  /** The size for ids, such as '10kb'. */
  readonly id: string;
  /** The size for display, such as '10 KB'. */
  readonly name: string;
  /** The steps that {@link tasks} took, warm-up included. */
  taken: Taken[] = [];
  readonly #folder: string;
  readonly #stack = new AsyncDisposableStack();
  readonly #session: SteppedSession;
  readonly #floor: Floor;
  readonly #sealed: Floor;
  readonly #key = VaultKey.generate();
  #chain: Chain = { link: randomBytes(32), index: 1 };

  constructor({ sessions, folder }: Ground, bytes: number) {
    const [id, name] = namesOf(bytes);
    this.bytes = bytes;
    this.id = id;
    this.name = name;
    this.#folder = join(folder, id);
    mkdirSync(this.#folder);
    this.#session = this.#stack.use(new SteppedSession(sessions, roomOf(bytes), new Transcript(bytes)));
    this.#floor = this.#stack.use(new Floor(join(this.#folder, 'floor')));
    this.#sealed = this.#stack.use(new Floor(join(this.#folder, 'sealed')));
  }

  /**
   * Returns three tasks: a coffer step; appending the bytes of the last step to a file; and sealing
   * and appending as many bytes.
   */
  tasks(): Task[] {
    return [
      { name: `coffer ${this.id}`, run: () => this.#step() },
      { name: `floor ${this.id}`, run: () => this.#floor.append(this.#session.written) },
      { name: `sealed ${this.id}`, run: () => this.#sealAndAppend() },
    ];
  }

  /** Returns a coffer step alone, to compare slow peers with within the same minutes. */
  besideTask(): Task {
    return { name: `beside ${this.id}`, run: async () => (await this.#session.step(STEP)).time };
  }

  /** Creates the session and takes one step, so that there are bytes for the floor. */
  async begin(): Promise<void> {
    await this.#session.step(STEP);
  }

  /** Closes the session, which folds the appended frames; returns the time it took. */
  leave(): Promise<number> {
    return this.#session.close();
  }

  /** Opens peers, each with a session of the same size; close them before the field. */
  async open(peers: readonly Peer[]): Promise<Opposed> {
    const ids = { next: 1 };
    const initial = [...placed(eventsOf(new Transcript(1), this.bytes), ids)];
    const opposed = new Opposed(this.id, () => new Transcript(this.bytes), ids.next);
    for (const peer of peers) {
      const own = join(this.#folder, peer.id);
      mkdirSync(own);
      opposed.add(peer, await peer.open(own, initial));
    }
    return opposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /**
   * Does the least work of a sealed step: seals a frame of the last step's length and appends it.
   */
  #sealAndAppend(): number {
    const summary = Buffer.alloc(600);
    const stored = randomBytes(this.#session.written.length - summary.length - AROUND);
    const start = performance.now();
    const content = { summary, segments: [{ codec: 0, plainLength: stored.length, stored } as const] };
    const { bytes, next } = sealFrame(this.#key, this.#chain, content);
    const time = performance.now() - start;
    this.#chain = next;
    return time + this.#sealed.append(bytes);
  }

  async #step(): Promise<number> {
    const taken = await this.#session.step(STEP);
    this.taken.push(taken);
    return taken.time;
  }
}

/** Peers, each with a session of the same size. */
export class Opposed implements AsyncDisposable {
  readonly #size: string;
  readonly #transcript: () => Transcript;
  readonly #first: number;
  readonly #peers: { peer: Peer; open: OpenPeer; ids: { next: number } }[] = [];

  /** Each peer receives the steps of a separate transcript; all transcripts should be the same. */
  constructor(size: string, transcript: () => Transcript, first: number) {
    this.#size = size;
    this.#transcript = transcript;
    this.#first = first;
  }

  add(peer: Peer, open: OpenPeer): void {
    this.#peers.push({ peer, open, ids: { next: this.#first } });
  }

  tasks(): Task[] {
    return this.#peers.map(({ peer, open, ids }) => {
      const transcript = this.#transcript();
      const run = async (): Promise<number> => {
        const events: Event[] = [...placed(turnOf(transcript, STEP), ids)];
        const start = performance.now();
        await open.step(events);
        return performance.now() - start;
      };
      return { name: `${peer.id} ${this.#size}`, run };
    });
  }

  /** Checks that every peer has all its events, and closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { peer, open, ids } of this.#peers) {
      const count = await open.count();
      if (count !== ids.next - 1) throw new Error(`${peer.name} received ${ids.next - 1} events and has ${count}`);
      await open.close();
    }
  }
}

/** Returns a size as '10kb' and as '10 KB'. */
export function namesOf(bytes: number): [id: string, name: string] {
  const [amount, unit] = bytes < 1e6 ? [bytes / 1e3, 'KB'] : [bytes / 1e6, 'MB'];
  return [`${amount}${unit.toLowerCase()}`, `${amount} ${unit}`];
}

/**
 * Returns the room for some steps, and for folds to happen as usual; small sessions are restarted
 * often.
 */
function roomOf(bytes: number): { from: number; to: number } {
  return bytes <= 1e6 ? { from: bytes * 0.8, to: bytes * 1.2 } : { from: bytes, to: bytes * 1.1 };
}
