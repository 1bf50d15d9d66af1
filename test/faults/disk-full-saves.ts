import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Answer, type Asked, Driver } from './driven.ts';
import type { History, Line } from './power-cut-history.ts';

/** A vault whose disk will be full. */
export interface Scene {
  readonly env: NodeJS.ProcessEnv;
  readonly history: History;
  /** Ends every process that was started for it. */
  readonly processes: AsyncDisposableStack;
}

/** Error of a save on the full disk; undefined if all of it succeeded. */
export type Refusal = Answer['error'];

/** One kind of save in one size. */
export interface Ready {
  /** Runs before every case, while there is room. */
  readonly prepare?: () => Promise<void>;
  /** Saves: on the full disk, and again when there is room. */
  save(text: string): Promise<Refusal>;
}

/** A kind of save, with the sizes in which it is tried: existing bytes, and added bytes. */
export interface Kind {
  readonly name: string;
  readonly sizes: readonly (readonly [before: number, added: number])[];
  /** Whether every case needs a new vault, or a new process. */
  readonly anew: boolean;
  ready(scene: Scene, before: number, added: number): Promise<Ready>;
}

/** Every kind of save. */
export const kinds: readonly Kind[] = [
  {
    name: 'first use',
    anew: true,
    sizes: [
      [0, 200],
      [0, 100_000],
    ],
    ready: async (scene, _before, added) => {
      const driver = await start(scene);
      let line: Line | undefined;
      return {
        save: async (text) => {
          if (!line) {
            const opened = (await driver.ask({ do: 'open' })) as (Answer & { keyId?: string }) | undefined;
            if (!opened?.ok) return opened?.error ?? ENDED;
            scene.history.opened(opened.keyId ?? '');
            mustBeOk(await driver.ask({ do: 'begin' }));
            line = scene.history.session();
          }
          return step(scene, driver, line, text, added);
        },
      };
    },
  },
  {
    name: 'new session',
    anew: false,
    sizes: [
      [0, 200],
      [0, 90_000],
      [0, 1_000_000],
    ],
    ready: async (scene, _before, added) => {
      const driver = await opened(scene);
      let failed: Line | undefined;
      return {
        save: async (text) => {
          if (!failed) mustBeOk(await driver.ask({ do: 'begin' }));
          const line: Line = failed ?? scene.history.session();
          const refusal = await step(scene, driver, line, text, added);
          failed = refusal && line;
          return refusal;
        },
      };
    },
  },
  {
    name: 'overwrite',
    anew: false,
    sizes: [
      [2_000, 40],
      [9_000, 300],
      [2_000, 25_000],
    ],
    ready: growing,
  },
  {
    name: 'append',
    anew: false,
    sizes: [
      [300_000, 40],
      [300_000, 20_000],
      [300_000, 400_000],
    ],
    ready: growing,
  },
  {
    name: 'fold',
    anew: false,
    sizes: [
      [150_000, 40],
      [600_000, 20_000],
    ],
    ready: async (scene, before, added) => {
      const driver = await opened(scene);
      let line: Line;
      let isClosed = true;
      return {
        prepare: async () => {
          line = await begun(scene, driver, before);
          isClosed = false;
        },
        save: async (text) => {
          if (isClosed) mustBeOk(await driver.ask({ do: 'resume', text: '_autosave' }));
          isClosed = false;
          const refusal = await step(scene, driver, line, text, added);
          if (refusal) return refusal;
          isClosed = true;
          return (await driver.ask({ do: 'close' }))?.error;
        },
      };
    },
  },
  {
    name: 'snapshot',
    anew: false,
    sizes: [
      [2_000, 0],
      [200_000, 0],
      [600_000, 0],
    ],
    ready: async (scene, before) => {
      const driver = await opened(scene);
      const line = await begun(scene, driver, before);
      return {
        save: async (text) => {
          // The promises about the session itself must hold as well.
          const taken = await refusalOf(scene.history.snapshot(() => idOf(driver.ask({ do: 'snapshot', text }))));
          return taken ?? step(scene, driver, line, text, 40);
        },
      };
    },
  },
  {
    name: 'torn-tail repair',
    anew: true,
    sizes: [
      [2_000, 40],
      [150_000, 40],
      [1_000_000, 20_000],
    ],
    ready: async (scene, before, added) => {
      const first = await opened(scene);
      const line = await begun(scene, first, before);
      await first.kill();
      // Simulates a power cut after the length of a file was written, but not its data.
      appendFileSync(join(scene.env['COFFER_DATA_DIR']!, 'sessions', line.name!), Buffer.alloc(90));
      const driver = await opened(scene);
      mustBeOk(await driver.ask({ do: 'resume', text: '_autosave' }));
      return { save: (text) => step(scene, driver, line, text, added) };
    },
  },
];

/** Adds to one session of the vault, and begins another when that has grown too large. */
async function growing(scene: Scene, before: number, added: number): Promise<Ready> {
  const driver = await opened(scene);
  let line: Line;
  let size = Number.POSITIVE_INFINITY;
  return {
    prepare: async () => {
      if (size < 4 * before) return;
      line = await begun(scene, driver, before);
      size = before;
    },
    save: async (text) => {
      const refusal = await step(scene, driver, line, text, added);
      size += added;
      return refusal;
    },
  };
}

async function opened(scene: Scene): Promise<Driver> {
  const driver = await start(scene);
  const answer = await driver.ask({ do: 'open' });
  mustBeOk(answer);
  scene.history.opened((answer as Answer & { keyId?: string }).keyId ?? '');
  return driver;
}

async function start({ env, processes }: Scene): Promise<Driver> {
  return processes.use(await Driver.start(env));
}

async function begun(scene: Scene, driver: Driver, size: number): Promise<Line> {
  mustBeOk(await driver.ask({ do: 'begin' }));
  const line = scene.history.session();
  const refusal = await step(scene, driver, line, 'setup', size);
  if (refusal) throw new Error(`a save failed although there was room: ${refusal.message}`);
  return line;
}

function step(scene: Scene, driver: Driver, line: Line, text: string, size: number): Promise<Refusal> {
  const asked: Asked = { do: 'step', text, size };
  return refusalOf(scene.history.step(line, text, async () => (await granted(driver.ask(asked))).fileId ?? ''));
}

async function idOf(answer: Promise<Answer | undefined>): Promise<string> {
  return (await granted(answer)).id ?? '';
}

/** A refused save, thrown through the history so that it notes nothing as acknowledged. */
class Refused extends Error {
  readonly refusal: NonNullable<Refusal>;

  constructor(refusal: NonNullable<Refusal>) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

async function granted(answer: Promise<Answer | undefined>): Promise<Answer> {
  const given = await answer;
  if (!given?.ok) throw new Refused(given?.error ?? ENDED);
  return given;
}

async function refusalOf(work: Promise<void>): Promise<Refusal> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}

function mustBeOk(answer: Answer | undefined): void {
  if (!answer?.ok) throw new Error(answer?.error?.message ?? ENDED.message);
}

const ENDED = { message: 'the process has ended' };
