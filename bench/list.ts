import { existsSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Row } from '../src/session/list/row.ts';
import { realistic } from '../test/support/vast.ts';
import { interleave, type Spread, spreadOf, type Task } from './measure.ts';
import type { Curve, Line, Measure, Part } from './part.ts';
import { Transcript } from './transcript.ts';
import { type Filled, fillVault, lineAgainst, openFilled, spreadAt } from './vaults.ts';

const SESSIONS = { full: [100, 1000, 10_000], short: [1000, 10_000] };
const ROUNDS = { full: { lists: 15, steps: 15 }, short: { lists: 5, steps: 3 } };
/** Warm-up runs of a task, which don't count. */
const WARM_UP = 2;
/** Bytes of plaintext in each session. */
const SMALL = 2000;

/**
 * Measures the cost of a list, with and without the index, next to `lstat` of the same files; and
 * the cost of beginning and closing a session.
 */
export const measureLists: Measure = async (folder, size) => {
  const vaults: ListedVault[] = [];
  for (const sessions of SESSIONS[size]) {
    const directory = join(folder, `vault-${sessions}`);
    vaults.push(new ListedVault(await fillVault(directory, { sessions, events: realistic(SMALL) })));
  }
  // The index doesn't trust a file that has just changed.
  await pause(1000);
  const { lists, steps } = ROUNDS[size];
  const spreads = await interleave(
    vaults.flatMap((vault) => vault.listTasks()),
    lists,
    WARM_UP,
  );
  const notes = vaults
    .filter(({ indexed }) => !indexed)
    .map(({ sessions }) => `list: no index was written for ${sessions} sessions`);
  const first = await interleave(
    vaults.map((vault) => vault.stepTask()),
    steps,
    WARM_UP,
  );
  return partOf(vaults, spreads, first, notes);
};

/** A vault that is listed repeatedly, and gets a few new sessions at the end. */
class ListedVault {
  readonly sessions: number;
  readonly #filled: Filled;
  readonly #index: string;
  readonly #closes: number[] = [];
  #messages: number | undefined;

  constructor(filled: Filled) {
    this.sessions = filled.fileIds.length;
    this.#filled = filled;
    this.#index = join(filled.directory, 'index');
  }

  /** Whether a list has written an index. */
  get indexed(): boolean {
    return existsSync(this.#index);
  }

  listTasks(): Task[] {
    const withIndex = async (): Promise<number> => {
      if (!this.indexed) await this.#list();
      return this.#list();
    };
    const without = (): Promise<number> => {
      rmSync(this.#index, { force: true });
      return this.#list();
    };
    return [
      { name: `index ${this.sessions}`, run: withIndex },
      { name: `no index ${this.sessions}`, run: without },
      { name: `stat ${this.sessions}`, run: () => this.#stat() },
    ];
  }

  /** The first step of a new session; the time that closing takes is recorded separately. */
  stepTask(): Task {
    const transcript = new Transcript(this.sessions);
    return {
      name: `first step ${this.sessions}`,
      run: async () => {
        await using sessions = await openFilled(this.#filled);
        const turn = transcript.turn(SMALL);
        const begun = performance.now();
        const session = sessions.begin({ directory: '/work/project', branch: 'main', model: 'demo/echo' });
        await session.append(...turn);
        const saved = performance.now();
        await session.close();
        this.#closes.push(performance.now() - saved);
        if (!existsSync(join(this.#filled.directory, 'sessions', session.fileId ?? '')))
          throw new Error('the session was not saved');
        return saved - begun;
      },
    };
  }

  /** The times of the closes that count. */
  get closes(): Spread {
    return spreadOf(this.#closes.slice(WARM_UP));
  }

  /**
   * Lists through a separate object, as a new process would; it must leave what it caches on disk
   * before the next run begins.
   */
  async #list(): Promise<number> {
    await using sessions = await openFilled(this.#filled);
    const start = performance.now();
    const rows = await sessions.list();
    const time = performance.now() - start;
    this.#check(rows);
    if (sessions.upkeep.seen?.state !== 'good') throw new Error('the rollback marks could not be read');
    return time;
  }

  #stat(): number {
    const place = join(this.#filled.directory, 'sessions');
    const start = performance.now();
    const sizes = readdirSync(place).map((name) => lstatSync(join(place, name)).size);
    const time = performance.now() - start;
    if (sizes.length !== this.sessions) throw new Error(`${sizes.length} of ${this.sessions} files found`);
    return time;
  }

  #check(rows: readonly Row[]): void {
    const wrong = rows.find(({ unreadable, rolledBack, torn }) => unreadable ?? rolledBack ?? torn);
    const messages = rows.reduce((sum, row) => sum + row.messages, 0);
    this.#messages ??= messages;
    if (wrong || rows.length !== this.sessions || messages !== this.#messages) {
      throw new Error(
        `${rows.length} of ${this.sessions} sessions listed, with ${messages} messages, first faulty one: ${wrong?.label ?? 'none'}`,
      );
    }
  }
}

type Spreads = ReadonlyMap<string, Spread>;

function partOf(vaults: readonly ListedVault[], lists: Spreads, steps: Spreads, notes: readonly string[]): Part {
  const beginning = vaults.map((vault) => ({
    id: `first-step-${vault.sessions}`,
    what: `first step of a new session among ${counted(vault.sessions)} others`,
    value: spreadAt(steps, `first step ${vault.sessions}`),
    unit: 'ms' as const,
  }));
  const closing = vaults.map((vault) => ({
    id: `close-${vault.sessions}`,
    what: `closing a session among ${counted(vault.sessions)} others`,
    value: vault.closes,
    unit: 'ms' as const,
  }));
  const counts = vaults.map(({ sessions }) => sessions);
  return {
    lines: [...vaults.flatMap(({ sessions }) => listLines(sessions, lists)), ...beginning, ...closing],
    curves: [listCurve(counts, lists), beginCurve(counts, beginning, closing)],
    notes,
  };
}

function listLines(sessions: number, spreads: Spreads): Line[] {
  const stat: Line = {
    id: `list-stat-${sessions}`,
    what: `lstat of ${counted(sessions)} files`,
    value: spreadAt(spreads, `stat ${sessions}`),
    unit: 'ms',
  };
  const line = (id: string, how: string): Line =>
    lineAgainst(
      `${id}-${sessions}`,
      `list of ${counted(sessions)} sessions, ${how}`,
      spreadAt(spreads, `${how} ${sessions}`),
      stat,
    );
  return [stat, line('list', 'index'), line('list-cold', 'no index')];
}

/** Formats a count with thousands separators. */
function counted(count: number): string {
  return count.toLocaleString('en-US');
}

function listCurve(counts: readonly number[], spreads: Spreads): Curve {
  const series = (name: string, of: string): Curve['series'][number] => ({
    name,
    points: counts.map((count) => [count, spreadAt(spreads, `${of} ${count}`).median]),
  });
  return {
    id: 'list-sessions',
    title: 'list of all sessions',
    x: 'sessions in the vault',
    y: 'time (ms)',
    series: [series('coffer', 'index'), series('coffer without its index', 'no index'), series('lstat', 'stat')],
    expect: { series: 'coffer', atMost: 'linear' },
  };
}

function beginCurve(counts: readonly number[], beginning: readonly Line[], closing: readonly Line[]): Curve {
  const points = (lines: readonly Line[]): (readonly [number, number])[] =>
    lines.map(({ value }, at) => [counts[at] ?? 0, value.median]);
  return {
    id: 'begin-sessions',
    title: 'beginning and closing a session',
    x: 'sessions in the vault',
    y: 'time (ms)',
    series: [
      { name: 'first step', points: points(beginning) },
      { name: 'close', points: points(closing) },
    ],
    expect: { series: 'first step', atMost: 'linear' },
  };
}
