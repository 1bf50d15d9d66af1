import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type CofferError, isCofferError } from '../../errors.ts';
import type { KnownEvent } from '../event/event.ts';
import type { Sessions } from '../sessions.ts';
import type { Row } from './row.ts';
import { addUsage, addUsed, ownPart, type Used, unused, usedByModel } from './usage.ts';

/** What the sessions of a vault are and took. A fork's copy of its parent counts with the parent, a snapshot with its session. */
export interface Stats {
  readonly sessions: number;
  readonly snapshots: number;
  /** Files that could not be read: nothing in them is counted. */
  readonly unreadable: number;
  /** Messages of user and assistant, prompts answered to their end, calls of tools. */
  readonly messages: number;
  readonly tasks: number;
  readonly toolCalls: number;
  readonly total: Used;
  /** The one that took most tokens first. */
  readonly models: readonly { readonly model: string; readonly used: Used }[];
  /** Days on which something was said, in order, as `2025-07-04` in local time. */
  readonly days: readonly Day[];
  /** The whole vault's directory on the disk. */
  readonly files: number;
  readonly bytes: number;
}

/** What was said and used on one day. */
export interface Day {
  readonly date: string;
  readonly messages: number;
  readonly used: Used;
}

/** What to count, and who hears of it. */
export interface StatsOptions {
  /** How many days back `days` goes, today included. */
  readonly days: number;
  readonly now?: number | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onUnreadable?: ((row: Row, error: CofferError) => void) | undefined;
}

/** Counts what the sessions of a vault took, one of them in memory at a time. */
export async function statsOf(sessions: Sessions, rows: readonly Row[], options: StatsOptions): Promise<Stats> {
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
    await setImmediate(); // reading is synchronous: signals get in between
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

  /** `since` is the first day of interest. */
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

/** By the calendar: a day with a change of clocks is a day. */
function firstDay(now: number, days: number): string {
  const at = new Date(now);
  at.setDate(at.getDate() - (days - 1));
  return dateOf(at);
}

/** Never the date of another zone. */
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
