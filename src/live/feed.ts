import type { Event } from '../session/event/event.ts';
import type { LiveEvent } from './live.ts';

/**
 * Maximum unrecorded events queued for a client. A client that falls further behind gets `lagged`
 * instead.
 */
const QUEUE_LIMIT = 256;

/** An unrecorded event, and the id of the last recorded event that was published before it. */
interface Pending {
  readonly after: number;
  event: LiveEvent;
}

/** The session whose recorded events are published. Their ids ascend. */
interface Source {
  readonly events: readonly Event[];
  /** Whether the event with this id is on disk. */
  isDurable(id: number): boolean;
}

/**
 * The event stream of a live session. Each client is a cursor into the recorded events plus a
 * bounded queue of unrecorded ones, so publishing never waits and never copies the record.
 */
export class Feed {
  readonly #source: () => Source;
  readonly #clients: Set<Client> = new Set();
  /** The id of the last recorded event whose save has settled, successfully or not. */
  #settled: number;
  #ended = false;
  #fault: { readonly error: unknown } | undefined;

  /** `source` is called for each read, because a session without events may still be replaced. */
  constructor(source: () => Source, settled: number) {
    this.#source = source;
    this.#settled = settled;
  }

  /** The id of the last event that was published as recorded. */
  get settled(): number {
    return this.#settled;
  }

  /** Publishes the recorded events up to the id `through`. Their save must have settled. */
  settle(through: number): void {
    if (through <= this.#settled) return;
    this.#settled = through;
    for (const client of this.#clients) client.wake();
  }

  /** Publishes an unrecorded event. */
  publish(event: LiveEvent): void {
    for (const client of this.#clients) client.push({ after: this.#settled, event });
  }

  /** Ends every subscription once its client has read everything published so far. */
  end(): void {
    this.#ended = true;
    for (const client of this.#clients) client.wake();
  }

  /** Ends every subscription with an error, once its client has read what was published. */
  fail(error: unknown): void {
    this.#fault = { error };
    this.end();
  }

  /** Implements `Live.events`. Includes what is published after this call but before iteration. */
  subscribe(after: number, signal: AbortSignal | undefined): AsyncIterable<LiveEvent> {
    const client = new Client(after);
    this.#clients.add(client);
    const leave = (): void => {
      this.#clients.delete(client);
      client.close();
    };
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    return this.#read(client, () => {
      signal?.removeEventListener('abort', leave);
      leave();
    });
  }

  async *#read(client: Client, leave: () => void): AsyncGenerator<LiveEvent, void, undefined> {
    try {
      while (!client.closed) {
        const next = client.next(this.#settled, () => this.#eventAfter(client.cursor));
        if (next !== undefined) yield next;
        else if (this.#fault !== undefined) throw this.#fault.error;
        else if (this.#ended) return;
        else await client.waitForMore();
      }
    } finally {
      leave();
    }
  }

  #eventAfter(id: number): LiveEvent | undefined {
    const { events, isDurable } = this.#source();
    const event = events[indexAfter(events, id)];
    if (event === undefined || event.id > this.#settled) return undefined;
    return { type: 'recorded', event, durable: isDurable(event.id) };
  }
}

/** A subscription: its cursor and its queue. */
class Client {
  cursor: number;
  closed = false;
  #queue: Pending[] = [];
  #lagged = false;
  #wake: (() => void) | undefined;

  constructor(after: number) {
    this.cursor = after;
  }

  push(pending: Pending): void {
    const last = this.#queue.at(-1);
    const joined = last?.after === pending.after ? joinDeltas(last.event, pending.event) : undefined;
    if (last !== undefined && joined !== undefined) last.event = joined;
    else if (this.#queue.length < QUEUE_LIMIT) this.#queue.push(pending);
    else {
      this.#queue = [];
      this.#lagged = true;
    }
    this.wake();
  }

  /** Takes the next event. Returns undefined if there is none yet. */
  next(settled: number, recorded: () => LiveEvent | undefined): LiveEvent | undefined {
    if (this.#lagged) {
      this.#lagged = false;
      return { type: 'lagged' };
    }
    const [head] = this.#queue;
    if (head !== undefined && head.after <= this.cursor) {
      this.#queue.shift();
      return head.event;
    }
    const event = this.cursor < settled ? recorded() : undefined;
    if (event?.type === 'recorded') {
      this.cursor = event.event.id;
      return event;
    }
    // A redaction may have removed the events between the cursor and `settled`.
    this.cursor = Math.max(this.cursor, settled);
    return head && this.#queue.shift()?.event;
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  waitForMore(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    return promise;
  }

  close(): void {
    this.closed = true;
    this.wake();
  }
}

/** Merges adjacent deltas of a reply, so that a slow client reads one event instead of many. */
function joinDeltas(first: LiveEvent, second: LiveEvent): LiveEvent | undefined {
  if (first.type !== 'delta' || second.type !== 'delta') return undefined;
  if (first.at + first.text.length !== second.at) return undefined;
  return { type: 'delta', at: first.at, text: first.text + second.text };
}

/** Returns the index of the first event with an id above `id`, by binary search. */
function indexAfter(events: readonly Event[], id: number): number {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.id ?? 0) > id) high = middle;
    else low = middle + 1;
  }
  return low;
}
