import { type BigIntStats, type FSWatcher, statSync, watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import type { Grown } from './event/decoding.ts';
import { type Event, isKnown, MergedEvents } from './event/event.ts';
import type { Row } from './list/row.ts';

/** Default polling interval: network file systems and containers may not report changes. */
const POLL_MS = 1000;

/**
 * A file modified less than this many milliseconds ago may change again without a new stamp, and
 * what was read of it may be half written.
 */
const SETTLED_MS = 100;

const LOOK = { bigint: true, throwIfNoEntry: false } as const;

/** The part of a vault that {@link follow} uses. */
export interface Followed {
  readonly directory: string;
  list(): Promise<Row[]>;
  readOn(row: Row, before?: Grown): Promise<Grown>;
}

/**
 * Yields the events of a session, first those recorded and then those that any process records,
 * each once and in the order of ids, until `signal` aborts. Only reads, without a lease. Holds back
 * the part of a reply that is still arriving until the whole reply, which has the same id, is
 * recorded or no process holds the session. Events changed later by a redaction are not yielded
 * again. Polls every `pollMs` milliseconds (default: 1000) in case no change is reported. Throws
 * `SESSION_NOT_FOUND` if the session is deleted, `ROLLED_BACK` if an older copy replaces it, and
 * what reading it throws.
 */
export async function* follow(
  sessions: Followed,
  row: Row,
  signal: AbortSignal,
  options: { readonly pollMs?: number } = {},
): AsyncGenerator<Event, void> {
  const path = join(sessions.directory, 'sessions', row.fileId);
  using changes = new Changes(path, signal);
  const record = new Record(sessions, row);
  let last = 0;
  let known: string | undefined;
  while (!signal.aborted) {
    const stats = statSync(path, LOOK);
    if (stats === undefined) throw deleted(row);
    const isSettled = Math.abs(Date.now() - Number(stats.mtimeMs)) > SETTLED_MS;
    if (known !== stampOf(stats)) {
      const isStill = (): boolean => isSettled && stampOf(stats) === stampOf(statSync(path, LOOK));
      const latest = await record.latest(last, isStill);
      if (latest !== undefined) {
        for (const event of latest.events) {
          yield event;
          last = event.id;
        }
        known = isSettled && !latest.heldBack ? stampOf(stats) : undefined;
      }
    }
    await changes.next(isSettled ? (options.pollMs ?? POLL_MS) : SETTLED_MS);
  }
}

/** The record of a session, read incrementally while its file only grows. */
class Record {
  readonly #sessions: Followed;
  readonly #row: Row;
  #read: Grown | undefined;
  /** Events read and not yet yielded, updated by later reads. */
  #waiting: Event[] = [];
  /** Id of the last event in the record. */
  #end = 0;

  constructor(sessions: Followed, row: Row) {
    this.#sessions = sessions;
    this.#row = row;
  }

  /**
   * Returns the events after `last` that can be yielded; undefined if the session can't be read
   * because another process is writing its file.
   */
  async latest(
    last: number,
    isStill: () => boolean,
  ): Promise<{ events: readonly Event[]; heldBack: boolean } | undefined> {
    let unheld: number | undefined;
    for (;;) {
      try {
        await this.#readOn(last);
      } catch (error) {
        if (isCofferError(error, 'SESSION_NOT_FOUND')) throw deleted(this.#row);
        if (isCofferError(error, 'UNAUTHENTIC', 'KEY_OTHER', 'FAILED') && !isStill()) return undefined;
        throw error;
      }
      if (this.#end < last) throw rolledBack(this.#row);
      const tail = this.#waiting.at(-1);
      if (!isPartial(tail) || unheld === this.#end) return { events: this.#waiting.splice(0), heldBack: false };
      if (await isHeld(this.#sessions, this.#row))
        return { events: this.#waiting.splice(0, this.#waiting.length - 1), heldBack: true };
      // No process holds the session, but the reply may have been completed since it was read.
      unheld = this.#end;
    }
  }

  async #readOn(last: number): Promise<void> {
    this.#read = await this.#sessions.readOn(this.#row, this.#read);
    const { events, whole } = this.#read;
    if (whole) {
      this.#waiting = [];
      this.#end = 0;
    }
    new MergedEvents(this.#waiting).add(events.filter(({ id }) => id > last));
    this.#end = events.at(-1)?.id ?? this.#end;
  }
}

function isPartial(event: Event | undefined): boolean {
  return event !== undefined && isKnown(event) && event.type === 'message' && event.partial === true;
}

async function isHeld(sessions: Followed, { fileId }: Row): Promise<boolean> {
  const rows = await sessions.list();
  return rows.find((row) => row.fileId === fileId)?.held !== undefined;
}

function stampOf(stats: BigIntStats | undefined): string {
  return stats === undefined ? '' : [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
}

function deleted({ id }: Row): CofferError {
  return new CofferError('SESSION_NOT_FOUND', `session ${id} was deleted`, {
    advice: 'there is nothing more to follow',
  });
}

function rolledBack({ id }: Row): CofferError {
  const message = `session ${id} was replaced by an older copy; follow it again to see its events`;
  return new CofferError('ROLLED_BACK', message);
}

/** Waits for a file to change. Watches its directory, because saving may replace the file. */
class Changes implements Disposable {
  readonly #watcher: FSWatcher | undefined;
  readonly #signal: AbortSignal;
  #changed = false;
  #wake: () => void = () => undefined;

  constructor(path: string, signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.#onChange);
    this.#watcher = watched(dirname(path), (name) => {
      if (name === null || path.endsWith(name)) this.#onChange();
    });
  }

  /**
   * Resolves if the file has changed since the last call, as soon as it changes, when `signal`
   * aborts, or after `ms` milliseconds.
   */
  async next(ms: number): Promise<void> {
    if (!this.#changed && !this.#signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#onChange);
    this.#watcher?.close();
  }

  readonly #onChange = (): void => {
    this.#changed = true;
    this.#wake();
  };
}

/** Returns undefined if the system has no watches left: polling continues. */
function watched(directory: string, onChange: (name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, (_, name) => onChange(name));
    // The directory is gone or can't be watched any more; polling finds out which.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return undefined;
  }
}
