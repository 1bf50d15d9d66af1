import { execFile } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Answer, type Asked, Driver } from './driven.ts';
import type { History, Line } from './power-cut-history.ts';

const run = promisify(execFile);

/** The place where a protocol is driven. */
export interface Stage {
  /** The root of the file system that will lose its power. */
  readonly root: string;
  readonly history: History;
  /** The driver's environment: which vault, and where its key is. */
  readonly env: NodeJS.ProcessEnv;
  /**
   * Begins the attack: the file system has made everything before it durable, which no longer
   * counts.
   */
  begin(): void;
}

/** One way of saving. */
export interface Protocol {
  readonly name: string;
  /** Number of new devices on which it is driven. */
  readonly rounds: number;
  /** Whether its key is kept in a gnome-keyring whose file is on the device too. */
  readonly keychain: boolean;
  /** The name of the saves under test; some need other saves before them. */
  readonly own: string;
  drive(stage: Stage): Promise<void>;
}

/** Every way in which a vault saves. */
export const protocols: readonly Protocol[] = [
  {
    name: 'first use',
    rounds: 6,
    keychain: true,
    own: 'first',
    drive: async (stage) => {
      await settle(stage);
      await using vault = await Driving.open(stage);
      const session = await vault.begin();
      for (const text of ['first', 'second', 'third']) await vault.save(session, text);
    },
  },
  {
    name: 'overwrite',
    rounds: 1,
    keychain: false,
    own: 'step',
    drive: async (stage) => {
      await using vault = await Driving.open(stage);
      const session = await vault.begin();
      await vault.save(session, 'setup', 2_000);
      await settle(stage);
      for (let step = 0; step < 36; step++) {
        await vault.save(session, `step${step}`, [40, 700, 1_500, 300][step % 4]);
        // So that the file system also writes the files themselves, as it would some seconds later.
        if (step % 6 === 5) await sync(stage);
      }
    },
  },
  {
    name: 'append',
    rounds: 1,
    keychain: false,
    own: 'step',
    drive: async (stage) => {
      await using vault = await Driving.open(stage);
      const session = await vault.begin();
      await vault.save(session, 'setup', 300_000);
      await settle(stage);
      for (let step = 0; step < 60; step++) {
        await vault.save(session, `step${step}`, [40, 2_000, 6_000, 700][step % 4]);
        if (step % 6 === 5) await sync(stage);
      }
    },
  },
  {
    name: 'fold',
    rounds: 1,
    keychain: false,
    own: 'fold',
    drive: (stage) => foldAgain(stage, { size: 150_000, times: 16, by: 'close' }),
  },
  {
    name: 'fold, overtaken',
    rounds: 1,
    keychain: false,
    own: 'fold',
    // Large enough to be sealed in slices, with the final save between them.
    drive: (stage) => foldAgain(stage, { size: 900_000, times: 6, by: 'overtake' }),
  },
  {
    name: 'snapshot',
    rounds: 1,
    keychain: false,
    own: 'snapshot',
    drive: async (stage) => {
      await using vault = await Driving.open(stage);
      const session = await vault.begin();
      await vault.save(session, 'setup', 5_000);
      await settle(stage);
      for (let taken = 0; taken < 24; taken++) {
        if (taken % 3 === 0) await vault.save(session, `step${taken}`, 500);
        await stage.history.snapshot(async () => (await vault.ask({ do: 'snapshot', text: `taken${taken}` })).id ?? '');
      }
    },
  },
  {
    name: "new session's link",
    rounds: 1,
    keychain: false,
    own: 'begun',
    drive: async (stage) => {
      await using vault = await Driving.open(stage);
      await vault.save(await vault.begin(), 'setup', 2_000);
      await settle(stage);
      for (let begun = 0; begun < 20; begun++) {
        if (begun % 2 === 0) await vault.ask({ do: 'close' });
        await vault.save(await vault.begin(), `begun${begun}`, 700);
      }
    },
  },
  {
    name: 'torn-tail repair',
    rounds: 1,
    keychain: false,
    own: 'repaired',
    drive: async (stage) => {
      const session = await begun(stage, 150_000);
      await settle(stage);
      for (let repair = 0; repair < 14; repair++) {
        // Simulates a power cut after the length of a file was written, but not its data.
        appendFileSync(join(stage.env['COFFER_DATA_DIR']!, 'sessions', session.name!), Buffer.alloc(90));
        await using vault = await Driving.open(stage);
        const { lost } = await vault.ask({ do: 'resume', text: '_autosave' });
        if (!lost) throw new Error('a file whose tail is torn was resumed as if it were whole');
        await vault.save(session, `repaired${repair}`);
        await vault.save(session, `appended${repair}`);
      }
    },
  },
];

/** A driver that must succeed in every request. */
class Driving implements AsyncDisposable {
  readonly #driver: Driver;
  readonly #history: History;

  private constructor(driver: Driver, history: History) {
    this.#driver = driver;
    this.#history = history;
  }

  /** Starts a process and opens the vault in it. */
  static async open({ env, history }: Stage): Promise<Driving> {
    const driving = new Driving(await Driver.start(env), history);
    const { keyId } = (await driving.ask({ do: 'open' })) as Answer & { keyId?: string };
    history.opened(keyId ?? '');
    return driving;
  }

  async ask(asked: Asked): Promise<Answer> {
    const answer = await this.#driver.ask(asked);
    if (!answer?.ok) throw new Error(`${asked.do} failed: ${answer?.error?.message ?? 'the driver has ended'}`);
    return answer;
  }

  /** Begins a session. */
  async begin(): Promise<Line> {
    await this.ask({ do: 'begin' });
    return this.#history.session();
  }

  /** Saves a step of the session that this process has begun or resumed last. */
  async save(session: Line, text: string, size = 0): Promise<void> {
    await this.#history.step(session, text, async () => (await this.ask({ do: 'step', text, size })).fileId ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver.kill();
  }
}

/** Folds a session of `size` bytes that many times, each time with two steps appended. */
async function foldAgain(
  stage: Stage,
  { size, times, by }: { size: number; times: number; by: 'close' | 'overtake' },
): Promise<void> {
  await using vault = await Driving.open(stage);
  const session = await vault.begin();
  await vault.save(session, 'setup', size);
  await settle(stage);
  for (let fold = 0; fold < times; fold++) {
    await vault.save(session, `begun${fold}`, 900);
    await vault.save(session, `ended${fold}`, 3_000);
    await stage.history.saved('fold', () => vault.ask({ do: by }));
    await vault.ask({ do: 'resume', text: '_autosave' });
  }
}

/** Returns a session begun by a process that has ended. */
async function begun(stage: Stage, size: number): Promise<Line> {
  await using vault = await Driving.open(stage);
  const session = await vault.begin();
  await vault.save(session, 'setup', size);
  return session;
}

async function settle(stage: Stage): Promise<void> {
  await sync(stage);
  stage.begin();
}

async function sync({ root }: Stage): Promise<void> {
  await run('sync', ['--file-system', root]);
}
