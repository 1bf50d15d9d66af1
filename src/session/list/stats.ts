import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type CofferError, isCofferError } from '../../errors.ts';
import type { KnownEvent } from '../event/event.ts';
import type { Sessions } from '../sessions.ts';
import type { Row } from './row.ts';
import { addUsage, addUsed, ownPart, type Used, unused, usedByModel } from './usage.ts';

/**
 * Statistics of a vault's sessions. Events that a fork inherited count for the parent, those of a
 * snapshot for its session.
 */
export interface Stats {
  readonly sessions: number;
  readonly snapshots: number;
  /** Sessions that could not be read, and whose contents are not counted. */
  readonly unreadable: number;
  /** Number of user and assistant messages. */
  readonly messages: number;
  /** Number of completely answered prompts. */
  readonly tasks: number;
  readonly toolCalls: number;
  readonly total: Used;
  /** Usage by model, the most tokens first. */
  readonly models: readonly { readonly model: string; readonly used: Used }[];
  /** Days with messages or usage, in order. */
  readonly days: readonly Day[];
  /** Number and total size of all files in the vault's directory. */
  readonly files: number;
  readonly bytes: number;
}

/** Messages and usage of one day. */
export interface Day {
  /** `2025-07-04`, in local time. */
  readonly date: string;
  readonly messages: number;
  readonly used: Used;
}

/** Options of {@link usageStats}. */
export interface StatsOptions {
  /** Number of days in {@link Stats.days}, including today. */
  readonly days: number;
  /** Milliseconds since 1970. Default: the current time. */
  readonly now?: number | undefined;
  /** Called before each session is read. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Called for each session that can't be read. */
  readonly onUnreadable?: ((row: Row, error: CofferError) => void) | undefined;
}

/** Computes statistics of a vault's sessions, with one session in memory at a time. */
export async function usageStats(sessions: Sessions, rows: readonly Row[], options: StatsOptions): Promise<Stats> {
  const count = new Count(firstDay(options.now ?? Date.now(), options.days));
  const own = rows.filter(({ kind }) => kind === 'session');
  let unreadable = 0;
  for (const [at, row] of own.entries()) {
    options.onProgress?.(at, own.length);
    try {
      if (row.unreadable !== undefined) throw row.unreadable;
      const { events, state } = await sessions.read(row);
      count.tasks += state.tasks;
      count.toolCalls += state.toolCalls;
      count.add(ownPart(events));
    } catch (error) {
      if (!isCofferError(error)) throw error;
      unreadable++;
      options.onUnreadable?.(row, error);
    }
    await setImmediate(); // reading is synchronous: let signals in
  }
  return {
    sessions: own.length - unreadable,
    snapshots: rows.length - own.length,
    unreadable,
    ...count.result(),
    ...sizeOf(sessions.directory),
  };
}

class Count {
  tasks = 0;
  toolCalls = 0;
  #messages = 0;
  readonly #since: string;
  readonly #models = new Map<string, Used>();
  readonly #days = new Map<string, Day>();

  /** `since` is the first day to count. */
  constructor(since: string) {
    this.#since = since;
  }

  add(events: readonly KnownEvent[]): void {
    for (const [model, used] of usedByModel(events)) {
      this.#models.set(model, addUsed(this.#models.get(model) ?? unused, used));
    }
    for (const event of events) {
      if (event.type === 'usage') this.#onDay(event.ts, (day) => ({ ...day, used: addUsage(day.used, event.usage) }));
      if (event.type !== 'message' || !['user', 'assistant'].includes(event.message.role)) continue;
      this.#messages++;
      this.#onDay(event.ts, (day) => ({ ...day, messages: day.messages + 1 }));
    }
  }

  result(): Pick<Stats, 'messages' | 'tasks' | 'toolCalls' | 'total' | 'models' | 'days'> {
    const models = [...this.#models].map(([model, used]) => ({ model, used }));
    return {
      messages: this.#messages,
      tasks: this.tasks,
      toolCalls: this.toolCalls,
      total: models.reduce((sum, { used }) => addUsed(sum, used), unused),
      models: models.sort((a, b) => tokensOf(b.used) - tokensOf(a.used) || a.model.localeCompare(b.model)),
      days: [...this.#days.values()].sort((a, b) => (a.date < b.date ? -1 : 1)),
    };
  }

  #onDay(ts: number, change: (day: Day) => Day): void {
    const date = dateOf(new Date(ts));
    if (date < this.#since) return;
    this.#days.set(date, change(this.#days.get(date) ?? { date, messages: 0, used: unused }));
  }
}

function tokensOf({ inputTokens, outputTokens }: Used): number {
  return (inputTokens ?? 0) + (outputTokens ?? 0);
}

/** Counts calendar days, so that a day on which the clocks change is one day. */
function firstDay(now: number, days: number): string {
  const at = new Date(now);
  at.setDate(at.getDate() - (days - 1));
  return dateOf(at);
}

/** Formats a date in local time. */
function dateOf(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${String(at.getFullYear()).padStart(4, '0')}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

function sizeOf(directory: string): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) return { files, bytes };
  for (const name of readdirSync(directory, { recursive: true })) {
    const stats = lstatSync(join(directory, String(name)), { throwIfNoEntry: false });
    if (!stats?.isFile()) continue;
    files++;
    bytes += stats.size;
  }
  return { files, bytes };
}
