import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { FileLock, takeLock } from '../../src/files/lock.ts';
import { makeDirectory } from '../../src/files/paths.ts';
import { openReader } from '../../src/files/reader.ts';
import { reasonOf } from '../../src/files/reason.ts';
import { createFile, pointLinkSync, replaceFile, replaceFileSync } from '../../src/files/replace/replace.ts';
import { appendOnce, appendOnceSync } from './appends.ts';

/*
 * A separate process for a test: runs one verb, prints one line of JSON, exits. With `wait` it
 * first prints `ready` and starts when a line arrives, so that it can be traced from there.
 */

export interface Request {
  readonly path: string;
  readonly size?: number;
  readonly fill?: string;
  readonly umask?: number;
  readonly wait?: boolean;
  readonly count?: number;
}

export type Verb =
  | 'replace'
  | 'replaceSync'
  | 'replaceLast'
  | 'create'
  | 'append'
  | 'appendSync'
  | 'pointLinkSync'
  | 'makeDirectory'
  | 'inPlace'
  | 'unflushed'
  | 'unchecked'
  | 'tryTake'
  | 'isHeld'
  | 'hold'
  | 'holdMany'
  | 'look'
  | 'takeTurns'
  | 'takeNoTurns';

export interface Outcome {
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly reason: string };
}

const verbs: Record<Verb, (request: Request) => unknown> = {
  replace: ({ path, size, fill }) => replaceFile(path, [Buffer.alloc(size ?? 0, fill)]),
  replaceSync: ({ path, size, fill }) => replaceFileSync(path, [Buffer.alloc(size ?? 0, fill)]),
  replaceLast: ({ path, size, fill }) => {
    const files: number[] = [];
    try {
      for (;;) files.push(openSync('.', 'r'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error;
    }
    return replaceFile(path, [Buffer.alloc(size ?? 0, fill)]);
  },
  create: ({ path, size, fill }) => createFile(path, [Buffer.alloc(size ?? 0, fill)]),
  append: ({ path, size, fill }) => appendOnce(path, stampOf(path), Buffer.alloc(size ?? 0, fill)),
  appendSync: ({ path, size, fill }) => appendOnceSync(path, stampOf(path), Buffer.alloc(size ?? 0, fill)),
  pointLinkSync: ({ path, fill }) => pointLinkSync(path, fill ?? ''),
  makeDirectory: async ({ path }) => makeDirectory(path),
  // Negative controls: writers that must fail the tests that ours pass.
  inPlace: ({ path, size, fill }) => writeFileSync(path, Buffer.alloc(size ?? 0, fill)),
  unflushed: ({ path, size, fill }) => {
    writeFileSync(`${path}.tmp`, Buffer.alloc(size ?? 0, fill));
    renameSync(`${path}.tmp`, path);
  },
  unchecked: ({ path, size, fill }) => {
    const file = openSync(`${path}.tmp`, 'w');
    writeSync(file, Buffer.alloc(size ?? 0, fill));
    fsyncSync(file);
    closeSync(file);
    renameSync(`${path}.tmp`, path);
  },
  tryTake: ({ path }) => FileLock.tryTake(path) !== undefined,
  isHeld: ({ path }) => FileLock.isHeld(path),
  hold: async ({ path }) => {
    using _lock = FileLock.tryTake(path);
    console.log(_lock ? 'held' : 'refused');
    await lineOfInput();
  },
  holdMany: async ({ path, count }) => {
    const locks = Array.from({ length: count ?? 0 }, (_, index) => FileLock.tryTake(join(path, `${index}`)));
    console.log(locks.every((lock) => lock !== undefined) ? 'held' : 'refused');
    await lineOfInput();
    for (const lock of locks) lock?.release();
    return locks.length;
  },
  /** Pauses in the middle of what `isHeld` does. */
  look: async ({ path }) => {
    using database = new DatabaseSync(path, { readOnly: true });
    database.exec('BEGIN; SELECT 1 FROM sqlite_schema');
    console.log('looking');
    await lineOfInput();
  },
  takeTurns: (request) => meetings(request, () => takeLock(join(request.path, 'lock'), 60_000)),
  takeNoTurns: (request) => meetings(request, async () => ({ [Symbol.dispose]: () => undefined })),
};

/** Enters an exclusive place `count` times, and returns how often another process was there. */
async function meetings({ path, count }: Request, enter: () => Promise<Disposable>): Promise<number> {
  const place = join(path, 'place');
  let met = 0;
  for (let turn = 0; turn < (count ?? 0); turn++) {
    using _turn = await enter();
    try {
      mkdirSync(place);
      await pause(1);
      rmdirSync(place);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      met++;
    }
  }
  return met;
}

function stampOf(path: string): ReturnType<typeof openReader>['stamp'] {
  using reader = openReader(path);
  return reader.stamp;
}

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function lineOfInput(): Promise<void> {
  await input.next();
}

async function run(verb: Verb, request: Request): Promise<Outcome> {
  try {
    return { value: await verbs[verb](request) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { error: { code: String(code), message, reason: reasonOf(error) } };
  }
}

if (process.argv[1] === import.meta.filename) {
  const [verb, request] = process.argv.slice(2) as [Verb, string];
  const asked: Request = JSON.parse(request);
  if (asked.umask !== undefined) process.umask(asked.umask);
  // Without a handler the signal kills Node before the system call can return EFBIG.
  process.on('SIGXFSZ', () => undefined);
  if (asked.wait) {
    console.log('ready');
    await lineOfInput();
  }
  const outcome = await run(verb, asked);
  console.log(JSON.stringify(outcome, (_key, value) => (typeof value === 'bigint' ? String(value) : value)));
  process.exit();
}
