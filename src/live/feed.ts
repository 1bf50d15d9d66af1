import type { Event } from '../session/event/event.ts';
import type { LiveEvent } from './live.ts';

/** How many unrecorded events wait for a client that doesn't read; then it gets `lagged` instead. */
const QUEUE_LIMIT = 256;

/** An event that isn't recorded, and the id of the last event that was published before it. */
interface Pending {
  readonly after: number;
  event: LiveEvent;
}

/** Where recorded events come from: the session, whose events have rising ids. */
interface Source {
  readonly events: readonly Event[];
  /** Whether the event with this id is on disk. */
  isDurable(id: number): boolean;
}

/**
 * Distributes the events of a live session to its clients. A client is a cursor into the recorded
 * events plus a bounded queue of the others, so publishing never waits and never copies the record.
 */
export class Feed {
  readonly #source: () => Source;
  readonly #clients: Set<Client> = new Set();
  /** The id of the last recorded event whose save has settled. */
  #settled: number;
  #ended = false;
  #fault: { readonly error: unknown } | undefined;

  /** `source` is asked again each time: a session that has no events yet may be replaced. */
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

  /** Publishes an event that isn't recorded. */
  publish(event: LiveEvent): void {
    for (const client of this.#clients) client.push({ after: this.#settled, event });
  }

  /** Ends every subscription once it has been read to its end. */
  end(): void {
    this.#ended = true;
    for (const client of this.#clients) client.wake();
  }

  /** Ends every subscription with an error. */
  fail(error: unknown): void {
    this.#fault = { error };
    this.end();
  }

  /** See `Live.events`. Events that are published after this call are part of what it yields. */
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

/** A subscription: how far it has read, and what waits for it. */
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

  /** Takes the next event; undefined if there is none yet. */
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
    // Redaction may have removed the events that the cursor has not reached.
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

/** Joins two pieces of a reply, so that a client that is behind has one event to read, not many. */
function joinDeltas(first: LiveEvent, second: LiveEvent): LiveEvent | undefined {
  if (first.type !== 'delta' || second.type !== 'delta') return undefined;
  if (first.at + first.text.length !== second.at) return undefined;
  return { type: 'delta', at: first.at, text: first.text + second.text };
}

/** The index of the first event with an id above `id`; the ids rise. */
function indexAfter(events: readonly Event[], id: number): number {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.id ?? 0) > id) high = middle;
    else low = middle + 1;
  }
  return low;
}
