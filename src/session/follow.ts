import { type BigIntStats, type FSWatcher, statSync, watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import { type Event, isKnown } from './event.ts';
import type { Row } from './row.ts';
import type { Sessions } from './sessions.ts';

/** How often a file is looked at where nothing says that it changed: network file systems and containers may not tell. */
const POLL_MS = 1000;

/** A file changed less than this ago may change again under the same stamp, and what was read of it may be half written. */
const SETTLED_MS = 100;

const LOOK = { bigint: true, throwIfNoEntry: false } as const;

/** What following needs of a vault. */
export type Followed = Pick<Sessions, 'directory' | 'read' | 'list'>;

/**
 * Gives the events of a session, those recorded and those that any process records from now on, each once and in the order of
 * ids, until `signal` aborts. It reads only, and takes no lease. A part of a reply that is still arriving is held back until the reply is
 * there, or no process holds the session: it has the id that the whole reply gets. Events that are changed later, by a redaction,
 * are not given again. Throws `SESSION_NOT_FOUND` when the session is deleted, `ROLLED_BACK` when an older copy is put in its place,
 * and what {@link Sessions.read} throws.
 */
export async function* follow(
  sessions: Followed,
  row: Row,
  signal: AbortSignal,
  options: { readonly pollMs?: number } = {},
): AsyncGenerator<Event, void> {
  const path = join(sessions.directory, 'sessions', row.fileId);
  using changes = new Changes(path, signal);
  let last = 0;
  let known: string | undefined;
  while (!signal.aborted) {
    const stats = statSync(path, LOOK);
    if (stats === undefined) throw deleted(row);
    const isSettled = Math.abs(Date.now() - Number(stats.mtimeMs)) > SETTLED_MS;
    if (known !== stampOf(stats)) {
      const isStill = (): boolean => isSettled && stampOf(stats) === stampOf(statSync(path, LOOK));
      const latest = await readEvents(sessions, row, isStill);
      if (latest !== undefined) {
        if (latest.end < last) throw rolledBack(row);
        for (const event of latest.events) {
          if (event.id <= last) continue;
          yield event;
          last = event.id;
        }
        known = isSettled && !latest.heldBack ? stampOf(stats) : undefined;
      }
    }
    await changes.next(isSettled ? (options.pollMs ?? POLL_MS) : SETTLED_MS);
  }
}

/** What can be given of a session; undefined where it can't be read, and its file is not what it was: somebody is writing it. */
async function readEvents(
  sessions: Followed,
  row: Row,
  isStill: () => boolean,
): Promise<{ events: readonly Event[]; end: number; heldBack: boolean } | undefined> {
  let unheld: number | undefined;
  for (;;) {
    let events: readonly Event[];
    try {
      ({ events } = await sessions.read(row));
    } catch (error) {
      if (isCofferError(error, 'SESSION_NOT_FOUND')) throw deleted(row);
      if (isCofferError(error, 'UNAUTHENTIC', 'KEY_OTHER', 'FAILED') && !isStill()) return undefined;
      throw error;
    }
    const tail = events.at(-1);
    const end = tail?.id ?? 0;
    if (!isPartial(tail) || unheld === end) return { events, end, heldBack: false };
    if (await isHeld(sessions, row)) return { events: events.slice(0, -1), end, heldBack: true };
    // Nobody holds it, but somebody may have come to the end of the reply since it was read.
    unheld = end;
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
  return new CofferError('SESSION_NOT_FOUND', `session ${id} was deleted; there is nothing more to follow`);
}

function rolledBack({ id }: Row): CofferError {
  const message = `an older copy of session ${id} was put in its place; follow it again to see what that has`;
  return new CofferError('ROLLED_BACK', message);
}

/** Waits for a file to change; the directory is watched, since the file is replaced. */
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

  /** Resolves when it has changed since the last time, `signal` aborts, or `ms` milliseconds have passed. */
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

/** Undefined where the system gives no more watches: the file is looked at now and then all the same. */
function watched(directory: string, onChange: (name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, (_, name) => onChange(name));
    watcher.on('error', () => watcher.close()); // the directory is gone, or can't be watched any more: looking tells which
    return watcher;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return undefined;
  }
}
