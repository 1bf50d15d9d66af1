import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { interleave, type Spread, spreadOf, type Task } from './measure.ts';
import type { Line, Measure, Part } from './part.ts';
import type { Answer, Question, Way } from './resume-child.ts';
import { eventsOf, Transcript } from './transcript.ts';
import { type Filled, fillVault, keyOf, lineAgainst, MB, pathOf, spreadAt } from './vaults.ts';
import { ask } from './vaults-fork.ts';
import { rawSegments } from './vaults-raw.ts';

/** The first one is for warming up. */
const SIZES = { full: [MB / 10, MB, 10 * MB, 100 * MB], short: [MB / 10, MB, 10 * MB] };
const ROUNDS = { full: 7, short: 5 };

/** What it costs to go on with a session, each time in a process of its own, beside the least that brings its events into memory. */
export const measureResume: Measure = async (folder, size) => {
  const sizes = SIZES[size];
  const filled = await fillVault(join(folder, 'vault'), {
    sessions: sizes.length,
    events: (number) => eventsOf(new Transcript(number + 1), sizes[number] ?? 0),
  });
  const largest = sizes.length - 1;
  const { plain, peers } = await writePeers(folder, filled);
  const runs = new Runs({ filled, before: 0, peers });
  const beside = sizes
    .keys()
    .drop(1)
    .flatMap((number) => [runs.task('coffer', number), runs.task('floor', number)]);
  const tasks = [...beside, runs.task('sqlite', largest), runs.task('jsonl', largest)];
  const spreads = await interleave(tasks, ROUNDS[size], 0);
  return partOf({ sizes, plain, spreads, runs });
};

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
function partOf({ sizes, plain, spreads, runs }: Measured): Part {
  const pairs = sizes.slice(1).map((bytes, at) => pairOf(bytes, at + 1, spreads));
  const points = (of: 'coffer' | 'floor'): [number, number][] =>
    pairs.map((pair, at) => [plain[at + 1] ?? 0, pair[of].value.median]);
  const last = sizes.length - 1;
  const megabytes = (sizes[last] ?? 0) / MB;
  return {
    lines: [
      ...pairs.flatMap(({ floor, coffer }) => [floor, coffer]),
      ...peerLines(megabytes, last, spreads),
      ...memoryLines(megabytes, last, plain[last] ?? 0, runs),
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

function pairOf(bytes: number, number: number, spreads: ReadonlyMap<string, Spread>): { floor: Line; coffer: Line } {
  const megabytes = bytes / MB;
  const floor: Line = {
    id: `resume-floor-${megabytes}mb`,
    what: `${megabytes} MB read, opened, decompressed, JSON.parsed`,
    value: spreadAt(spreads, `floor ${number}`),
    unit: 'ms',
  };
  const time = spreadAt(spreads, `coffer ${number}`);
  return { floor, coffer: lineAgainst(`resume-${megabytes}mb`, `resume of a ${megabytes} MB session`, time, floor) };
}

function peerLines(megabytes: number, number: number, spreads: ReadonlyMap<string, Spread>): Line[] {
  const peers = { sqlite: 'rows of node:sqlite', jsonl: 'lines of a JSONL file' };
  return Object.entries(peers).map(([way, what]) => ({
    id: `resume-${way}-${megabytes}mb`,
    what: `${megabytes} MB in plaintext, ${what}, JSON.parsed`,
    value: spreadAt(spreads, `${way} ${number}`),
    unit: 'ms',
  }));
}

/** The session that is largest stands for all: what Node itself takes weighs least there. */
function memoryLines(megabytes: number, number: number, plain: number, runs: Runs): Line[] {
  const line = (id: string, what: string, way: Way): Line => {
    const value = runs.peak(`${way} ${number}`);
    const ratio = (value.median * 2 ** 20) / plain;
    return { id, what, value, unit: 'MiB', against: { what: 'its plaintext', ratio } };
  };
  const id = megabytes === 100 ? 'resume-memory' : `resume-memory-${megabytes}mb`;
  return [
    line(id, `peak memory of a resume of ${megabytes} MB`, 'coffer'),
    line(`resume-memory-floor-${megabytes}mb`, 'peak memory of the floor of that', 'floor'),
  ];
}

interface Measured {
  readonly sizes: readonly number[];
  /** Bytes of plaintext of each. */
  readonly plain: readonly number[];
  readonly spreads: ReadonlyMap<string, Spread>;
  readonly runs: Runs;
}
