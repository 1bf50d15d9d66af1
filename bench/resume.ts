import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { interleave, type Spread, spreadOf, type Task } from './measure.ts';
import type { Line, Measure, Part } from './part.ts';
import type { Answer, Question, Way } from './resume-child.ts';
import { eventsOf, Transcript } from './transcript.ts';
import { type Filled, fillVault, keyOf, lineAgainst, MB, openFilled, pathOf, spreadAt } from './vaults.ts';
import { ask } from './vaults-fork.ts';
import { rawSegments } from './vaults-raw.ts';

/** A session to resume. */
interface Case {
  /** The name used in the ids of its lines. */
  readonly id: string;
  readonly what: string;
  /** Bytes of plaintext. */
  readonly bytes: number;
  /** Number of appended steps that were not folded, as a killed process leaves them. */
  readonly steps?: number;
}

const SMALL: Case = { id: '100kb', what: '100 KB', bytes: MB / 10 };
const ONE: Case = { id: '1mb', what: '1 MB', bytes: MB };
const TEN: Case = { id: '10mb', what: '10 MB', bytes: 10 * MB };
const HUNDRED: Case = { id: '100mb', what: '100 MB', bytes: 100 * MB };
const UNFOLDED: Case = { id: '10mb-unfolded', what: '10 MB and 1,000 steps not folded', bytes: 10 * MB, steps: 1000 };

/**
 * The sessions: the first one is for warm-up; the last one is the largest, used where only one
 * session is measured.
 */
const CASES = { full: [SMALL, ONE, TEN, UNFOLDED, HUNDRED], short: [SMALL, ONE, TEN] };
const ROUNDS = { full: 7, short: 5 };
const STEP = 2000;

/**
 * Measures the cost of resuming a session, each time in a separate process, next to the least work
 * that brings its events into memory.
 */
export const measureResume: Measure = async (folder, size) => {
  const cases = CASES[size];
  const filled = await fillVault(join(folder, 'vault'), {
    sessions: cases.length,
    events: (number) => eventsOf(new Transcript(number + 1), cases[number]?.bytes ?? 0),
  });
  await appendSteps(filled, cases);
  const last = cases.length - 1;
  const { plain, peers } = await writePeers(folder, filled);
  const runs = new Runs({ filled, before: 0, peers });
  const beside = [...cases.keys().drop(1)].flatMap((number) => [
    runs.task('coffer', number),
    runs.task('floor', number),
  ]);
  const tasks = [...beside, runs.task('sqlite', last), runs.task('jsonl', last)];
  const spreads = await interleave(tasks, ROUNDS[size], 0);
  return partOf({ cases, plain, spreads, runs });
};

/** Appends the steps that must stay unfolded. */
async function appendSteps(filled: Filled, cases: readonly Case[]): Promise<void> {
  await using sessions = await openFilled(filled);
  for (const row of await sessions.list()) {
    const number = filled.fileIds.indexOf(row.fileId);
    const { steps = 0 } = cases[number] ?? {};
    if (steps === 0) continue;
    const session = await sessions.resume(row);
    const transcript = new Transcript(number);
    for (let count = 0; count < steps; count++) await session.append(...transcript.turn(STEP));
    session.finalSave('completed');
  }
}

/** Runs each task in a separate process, and compares the results. */
class Runs {
  readonly #question: Pick<Question, 'filled' | 'before' | 'peers'>;
  readonly #peaks = new Map<string, number[]>();
  readonly #found = new Map<number, string>();

  constructor(question: Pick<Question, 'filled' | 'before' | 'peers'>) {
    this.#question = question;
  }

  task(way: Way, number: number): Task {
    const name = `${way} ${number}`;
    const peaks: number[] = [];
    this.#peaks.set(name, peaks);
    return {
      name,
      run: async () => {
        const question: Question = { ...this.#question, way, number };
        const answer = await ask<Answer>(join(import.meta.dirname, 'resume-child.ts'), question);
        this.#check(name, number, `${answer.events} events ${answer.digest}`);
        peaks.push(answer.peak / 2 ** 20);
        return answer.milliseconds;
      },
    };
  }

  /** Returns the spread of peak memory, in MiB. */
  peak(name: string): Spread {
    return spreadOf(this.#peaks.get(name) ?? []);
  }

  /** Throws unless every way reads the same session. */
  #check(name: string, number: number, found: string): void {
    const known = this.#found.get(number) ?? found;
    this.#found.set(number, known);
    if (known !== found) throw new Error(`${name} read ${found}; another way read ${known}`);
  }
}

/**
 * Writes the same sessions to databases and as JSONL, both in plaintext; returns their plaintext
 * sizes in bytes.
 */
async function writePeers(folder: string, filled: Filled): Promise<{ plain: number[]; peers: Question['peers'] }> {
  const key = keyOf(filled);
  const peers = filled.fileIds.map((_, number) => ({
    sqlite: join(folder, `${number}.db`),
    jsonl: join(folder, `${number}.jsonl`),
  }));
  const plain: number[] = [];
  for (const [number, { sqlite, jsonl }] of peers.entries()) {
    using database = new DatabaseSync(sqlite);
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events (id INTEGER PRIMARY KEY, event TEXT)',
    );
    const insert = database.prepare('INSERT INTO events (event) VALUES (?)');
    const stream = createWriteStream(jsonl, { mode: 0o600 });
    database.exec('BEGIN');
    let length = 0;
    for (const lines of rawSegments(pathOf(filled, number), key)) {
      length += lines.length;
      for (const line of lines.toString('utf8').trimEnd().split('\n')) insert.run(line);
      if (!stream.write(lines)) await once(stream, 'drain');
    }
    database.exec('COMMIT');
    stream.end();
    await once(stream, 'close');
    plain.push(length);
  }
  return { plain, peers };
}

/** Returns the lines and the curve for all sessions but the first. */
function partOf({ cases, plain, spreads, runs }: Measured): Part {
  const pairs = cases.slice(1).map((one, at) => pairOf(one, at + 1, spreads));
  const folded = pairs.filter(({ of }) => of.steps === undefined);
  const points = (of: 'coffer' | 'floor'): [number, number][] =>
    folded.map((pair) => [plain[pair.number] ?? 0, pair[of].value.median]);
  const last = cases.length - 1;
  const largest = cases[last] ?? SMALL;
  return {
    lines: [
      ...pairs.flatMap(({ floor, coffer }) => [floor, coffer]),
      ...peerLines(largest, last, spreads),
      ...memoryLines(largest, last, plain[last] ?? 0, runs),
    ],
    curves: [
      {
        id: 'resume-size',
        title: 'resume of a session',
        x: 'size of the session (bytes)',
        y: 'time (ms)',
        series: [
          { name: 'coffer', points: points('coffer') },
          { name: 'floor', points: points('floor') },
        ],
        expect: { series: 'coffer', atMost: 'linear' },
      },
    ],
    notes: [
      'resume: separate processes, each of which has resumed a session of 100 KB before; the files are in the page cache',
    ],
  };
}

interface Pair {
  readonly of: Case;
  readonly number: number;
  readonly floor: Line;
  readonly coffer: Line;
}

function pairOf(of: Case, number: number, spreads: ReadonlyMap<string, Spread>): Pair {
  const floor: Line = {
    id: `resume-floor-${of.id}`,
    what: `${of.what}, read, opened, decompressed, JSON.parsed`,
    value: spreadAt(spreads, `floor ${number}`),
    unit: 'ms',
  };
  const time = spreadAt(spreads, `coffer ${number}`);
  return {
    of,
    number,
    floor,
    coffer: lineAgainst(`resume-${of.id}`, `resume of a session of ${of.what}`, time, floor),
  };
}

function peerLines({ id, what }: Case, number: number, spreads: ReadonlyMap<string, Spread>): Line[] {
  const peers = { sqlite: 'rows of node:sqlite', jsonl: 'lines of a JSONL file' };
  return Object.entries(peers).map(([way, stored]) => ({
    id: `resume-${way}-${id}`,
    what: `${what} in plaintext, ${stored}, JSON.parsed`,
    value: spreadAt(spreads, `${way} ${number}`),
    unit: 'ms',
  }));
}

/** Node's own memory matters least in the largest session; the target is for 100 MB. */
function memoryLines({ id, what }: Case, number: number, plain: number, runs: Runs): Line[] {
  const line = (name: string, described: string, way: Way): Line => {
    const value = runs.peak(`${way} ${number}`);
    const ratio = (value.median * 2 ** 20) / plain;
    return { id: name, what: described, value, unit: 'MiB', against: { what: 'its plaintext', ratio } };
  };
  return [
    line(id === HUNDRED.id ? 'resume-memory' : `resume-memory-${id}`, `peak memory of a resume of ${what}`, 'coffer'),
    line(`resume-memory-floor-${id}`, 'peak memory if it is only read, opened, decompressed, JSON.parsed', 'floor'),
  ];
}

interface Measured {
  readonly cases: readonly Case[];
  /** Bytes of plaintext, by session. */
  readonly plain: readonly number[];
  readonly spreads: ReadonlyMap<string, Spread>;
  readonly runs: Runs;
}
