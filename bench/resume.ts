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

/** A session to go on with. */
interface Case {
  /** Part of the ids of its lines. */
  readonly id: string;
  readonly what: string;
  /** Of plaintext. */
  readonly bytes: number;
  /** Steps that were appended to it, and that nobody has folded: as a process leaves it that was killed. */
  readonly steps?: number;
}

const SMALL: Case = { id: '100kb', what: '100 KB', bytes: MB / 10 };
const ONE: Case = { id: '1mb', what: '1 MB', bytes: MB };
const TEN: Case = { id: '10mb', what: '10 MB', bytes: 10 * MB };
const HUNDRED: Case = { id: '100mb', what: '100 MB', bytes: 100 * MB };
const UNFOLDED: Case = { id: '10mb-unfolded', what: '10 MB and 1,000 steps not folded', bytes: 10 * MB, steps: 1000 };

/** The first one is for warming up; the last one stands for all where only one is looked at. */
const CASES = { full: [SMALL, ONE, TEN, UNFOLDED, HUNDRED], short: [SMALL, ONE, TEN] };
const ROUNDS = { full: 7, short: 5 };
const STEP = 2000;

/** What it costs to go on with a session, each time in a process of its own, beside the least that brings its events into memory. */
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

/** Takes the steps that are to stay unfolded. */
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

/** Runs in processes of their own, what they came to held against each other. */
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

  /** Peaks of memory, in MiB. */
  peak(name: string): Spread {
    return spreadOf(this.#peaks.get(name) ?? []);
  }

  /** Whichever way it is come by, a session is the same. */
  #check(name: string, number: number, found: string): void {
    const known = this.#found.get(number) ?? found;
    this.#found.set(number, known);
    if (known !== found) throw new Error(`${name} came by ${found}, and another way by ${known}`);
  }
}

/** The same sessions in a database and as JSONL, both in plaintext; gives how many bytes that is of each. */
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

/** The lines and the curve of what was measured of the sessions behind the first. */
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
      'resume: processes of their own, each of which has gone on with a session of 100 KB before; the files are in the page cache',
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

/** What Node itself takes weighs least in the largest session; the target is about 100 MB. */
function memoryLines({ id, what }: Case, number: number, plain: number, runs: Runs): Line[] {
  const line = (name: string, described: string, way: Way): Line => {
    const value = runs.peak(`${way} ${number}`);
    const ratio = (value.median * 2 ** 20) / plain;
    return { id: name, what: described, value, unit: 'MiB', against: { what: 'its plaintext', ratio } };
  };
  return [
    line(id === HUNDRED.id ? 'resume-memory' : `resume-memory-${id}`, `peak memory of a resume of ${what}`, 'coffer'),
    line(`resume-memory-floor-${id}`, 'peak memory where it is read, opened, decompressed, JSON.parsed alone', 'floor'),
  ];
}

interface Measured {
  readonly cases: readonly Case[];
  /** Bytes of plaintext of each. */
  readonly plain: readonly number[];
  readonly spreads: ReadonlyMap<string, Spread>;
  readonly runs: Runs;
}
