import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { MemoryKeyring } from '../src/keyring/memory.ts';
import { openVault } from '../src/session/open-vault.ts';
import type { Session } from '../src/session/session.ts';
import type { Sessions } from '../src/session/sessions.ts';
import { interleave, type Spread, type Task } from './measure.ts';
import { beginSession, Transcript } from './transcript.ts';

/** New events of one step, in bytes of text. */
const STEP = 2 * 1024;
/** A session is "of 10 KB" between these two sizes of its text. */
const SMALL = { from: 8 * 1024, to: 12 * 1024 };
const LARGE = 1024 * 1024;

const transcript = new Transcript(1);

/** How long steps take, beside the cheapest durable write of the same bytes. */
export interface StepTimes {
  /** write + fdatasync, synchronously and into a file that stays open, of the frame that the small session's last step wrote. */
  readonly plain: Spread;
  readonly small: Spread;
  /** The same of the frame that the large session's last step wrote. */
  readonly plainLarge: Spread;
  readonly large: Spread;
}

/** Measures steps in real vaults below `folder`, their key in memory. */
export async function measureSteps(folder: string, rounds: number): Promise<StepTimes> {
  const directory = join(folder, 'steps');
  await using sessions = await openVault({ directory, keyring: new MemoryKeyring(), env: {} });
  const small = new Growing(sessions, SMALL);
  const large = new Growing(sessions, { from: LARGE, to: Number.POSITIVE_INFINITY });
  using plain = new PlainFile(join(folder, 'plain'), () => small.written);
  using plainLarge = new PlainFile(join(folder, 'plain-large'), () => large.written);
  const tasks = { plain, small, plainLarge, large };
  for (const growing of [small, large]) await growing.step();
  const named = Object.entries(tasks).map(([name, of]): Task => ({ name, run: () => of.step() }));
  return Object.fromEntries(await interleave(named, rounds)) as unknown as StepTimes;
}

/** A session that is begun anew when a step would take it beyond its size. */
class Growing {
  /** The bytes that the last step put on disk. */
  written: Buffer = Buffer.alloc(0);
  readonly #sessions: Sessions;
  readonly #size: { from: number; to: number };
  #session: Session | undefined;
  #length = 0;

  constructor(sessions: Sessions, size: { from: number; to: number }) {
    this.#sessions = sessions;
    this.#size = size;
  }

  async step(): Promise<number> {
    const session = await this.#ready();
    const before = this.#file(session);
    const events = transcript.turn(STEP);
    const start = performance.now();
    await session.append(...events);
    const time = performance.now() - start;
    this.#length += STEP;
    const after = this.#file(session);
    const isAppended = after.length > before.length && after.subarray(0, before.length).equals(before);
    this.written = isAppended ? after.subarray(before.length) : after;
    return time;
  }

  async #ready(): Promise<Session> {
    const { from, to } = this.#size;
    if (this.#session && this.#length + STEP <= to) return this.#session;
    await this.#session?.close();
    this.#session = await beginSession(this.#sessions, from);
    this.#length = from;
    return this.#session;
  }

  #file(session: Session): Buffer {
    return readFileSync(join(this.#sessions.directory, 'sessions', session.fileId ?? ''));
  }
}

/** The least that makes bytes durable: no seal, no name, no lock, no way back. */
class PlainFile implements Disposable {
  readonly #file: number;
  readonly #bytes: () => Buffer;

  constructor(path: string, bytes: () => Buffer) {
    this.#file = openSync(path, 'a', 0o600);
    this.#bytes = bytes;
  }

  step(): number {
    const bytes = this.#bytes();
    const start = performance.now();
    writeSync(this.#file, bytes);
    fdatasyncSync(this.#file);
    return performance.now() - start;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
