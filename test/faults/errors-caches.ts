import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, leftOf, lookAtCaches, makeVault, type Words, wrongIn } from './caches.ts';
import type { Control } from './campaign.ts';
import { type Asked, Driver } from './driven.ts';
import { type Errno, errorsOf } from './errors-possible.ts';
import type { Sample } from './sample.ts';
import { CHANGING, LOOKING, type Point, pointsIn, readLog, Tracer, threadsOf } from './strace.ts';
import { copyVault, credential } from './strace-saves.ts';
import { wrongWay } from './wrong-saves.ts';

/*
 * Makes every call on a cache fail while it is written, read and dropped: the answer must be right
 * or the error reported.
 */

/** An operation that uses the caches or has to update them. */
interface Scene {
  readonly name: string;
  /** Whether the caches exist before. */
  readonly isBuilt: boolean;
  asks(target: { fileId: string; word: string }): readonly Asked[];
}

const SCENES: readonly Scene[] = [
  { name: 'writing caches', isBuilt: false, asks: ({ word }) => [{ do: 'search', text: word }] },
  { name: 'reading caches', isBuilt: true, asks: ({ word }) => [{ do: 'list' }, { do: 'search', text: word }] },
  { name: 'deleting beside caches', isBuilt: true, asks: ({ fileId }) => [{ do: 'remove', fileId }] },
  {
    name: 'redacting beside caches',
    isBuilt: true,
    asks: ({ fileId, word }) => [{ do: 'redact', fileId, text: word }],
  },
];

const CONTROLS: readonly { readonly name: string; readonly way: string; readonly scene: string }[] = [
  { name: 'caches dropped unchecked', way: 'cache-kept', scene: 'redacting beside caches' },
];

/** The totals of all cases. */
export interface CacheFigures {
  readonly cases: number;
  readonly notes: readonly string[];
  readonly controls: readonly Control[];
  readonly failures: readonly string[];
}

interface Fault {
  readonly point: Point;
  readonly error: Errno;
}

/** The short form tries one error in this many. */
const INTERVAL = 16;
/**
 * Errors of a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 2;

/** Attacks the caches in every scene, two cases at a time. */
export async function attackCaches(
  folder: string,
  tell: (line: string) => void,
  sample: Sample,
): Promise<CacheFigures> {
  tell('a vault with caches');
  const attack = new CacheAttack(folder, await Base.make(folder));
  const failures: string[] = [];
  const notes: string[] = [];
  let cases = 0;
  let told = 0;
  for (const scene of SCENES) {
    tell(scene.name);
    const faults = await attack.faultsOf(scene, {});
    const done = await attack.all(scene, {}, [...sample.of(faults, INTERVAL)]);
    // If the sample has only one call, it may not have been made again.
    for (const batch of sample.batches(faults, BATCH)) {
      if (done.length === 0) done.push(...(await attack.all(scene, {}, batch)));
    }
    cases += done.length;
    told += done.filter(({ isTold }) => isTold).length;
    notes.push(`${scene.name} ${done.length}`);
    if (done.length === 0) failures.push(`${scene.name}: nothing could fail`);
    failures.push(...done.flatMap(({ faults }) => faults));
  }
  const controls: Control[] = [];
  for (const { name, way, scene: of } of CONTROLS) {
    tell(name);
    const scene = SCENES.find((one) => one.name === of)!;
    let [tried, caught] = [0, 0];
    for (const batch of sample.batches(await attack.faultsOf(scene, wrongWay(way)), BATCH)) {
      if (caught > 0) break;
      const done = await attack.all(scene, wrongWay(way), batch);
      tried += done.length;
      caught += done.filter(({ faults }) => faults.length > 0).length;
    }
    controls.push({ name, cases: tried, caught });
  }
  return { cases, notes: [...notes, `of caches told ${told}`], controls, failures };
}

/** The vault that each case gets a copy of. */
class Base {
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
  readonly words: Words;

  private constructor(env: NodeJS.ProcessEnv, directory: string, words: Words) {
    this.env = env;
    this.directory = directory;
    this.words = words;
  }

  static async make(folder: string): Promise<Base> {
    const directory = join(folder, 'cached');
    const env = { ...credential(join(folder, 'key-caches')), NODE_COMPILE_CACHE: join(folder, 'compiled') };
    return new Base(env, directory, await makeVault({ ...env, COFFER_DATA_DIR: directory }));
  }
}

/** The outcome of one case. */
interface Done {
  readonly isTold: boolean;
  readonly faults: readonly string[];
}

class CacheAttack {
  readonly #folder: string;
  readonly #base: Base;
  readonly #known = new Set<string>();
  #cases = 0;

  constructor(folder: string, base: Base) {
    this.#folder = folder;
    this.#base = base;
  }

  async all(scene: Scene, wrong: NodeJS.ProcessEnv, faults: readonly Fault[]): Promise<Done[]> {
    const waiting = [...faults];
    const done: Done[] = [];
    const lane = async (): Promise<void> => {
      for (let fault = waiting.shift(); fault !== undefined; fault = waiting.shift()) {
        const one = await this.#once(scene, wrong, fault);
        if (one) done.push(one);
      }
    };
    await Promise.all([lane(), lane()]);
    return done;
  }

  /**
   * Returns every call on a cache with its possible errors. Calls that differ only in their count
   * get one error each.
   */
  async faultsOf(scene: Scene, wrong: NodeJS.ProcessEnv): Promise<Fault[]> {
    const isWrong = wrong['COFFER_WRONG'] !== undefined;
    const known = isWrong ? new Set<string>() : this.#known;
    await using one = await this.#case(scene, wrong);
    const { driver, directory } = one;
    const log = `${directory}.log`;
    const threads = threadsOf(driver.pid);
    const tracer = await Tracer.attach(driver.pid, { calls: [...CHANGING, ...LOOKING], log, follow: true });
    for (const asked of one.asks) await driver.ask(asked);
    await tracer.detach();
    const points = pointsIn(readLog(log), threads).filter(
      // The fault of the wrong way is in its removals.
      ({ name, what }) => isOnCache(what, directory) && (!isWrong || name.startsWith('unlink')),
    );
    return points.flatMap((point) => {
      const thing = `${scene.name} ${point.name} ${thingIn(point.what)}`;
      return errorsOf(point)
        .filter((error, index) => {
          const isNew = !known.has(`${error} ${thing}`);
          known.add(`${error} ${thing}`);
          return isNew || (index === 0 && CHANGING.some((name) => name.replace('?', '') === point.name));
        })
        .map((error) => ({ point, error }));
    });
  }

  /** Returns undefined if the call was not made this time. */
  async #once(scene: Scene, wrong: NodeJS.ProcessEnv, { point, error }: Fault): Promise<Done | undefined> {
    await using one = await this.#case(scene, wrong);
    const { driver, directory, env, asks, target } = one;
    const log = `${directory}.log`;
    const inject = `${point.name}:error=${error}:when=${point.nth}`;
    const tid = threadsOf(driver.pid)[point.role as 'main' | 'pool'];
    const tracer = await Tracer.attach(tid, { calls: [point.name], inject, log });
    const answers = [];
    for (const asked of asks) answers.push(await driver.ask(asked));
    await tracer.detach();
    const hit = readFileSync(log, 'utf8')
      .split('\n')
      .find((line) => line.includes('(INJECTED)'));
    if (hit === undefined || !isOnCache(hit, directory)) return undefined;
    const faults = answers.flatMap((answer, at) => wrongIn(asks[at]!, answer, this.#base.words));
    const last = answers.at(-1);
    const verb = asks[0]?.do;
    if (last?.ok && (verb === 'remove' || verb === 'redact')) {
      faults.push(...(await leftOf(env, target.fileId, target.word)));
    }
    const after = await driver.ask({ do: 'list' });
    if (!after?.ok)
      faults.push(`the next list, without the fault: ${after?.error?.message ?? 'the process has ended'}`);
    await driver.kill();
    faults.push(...(await lookAtCaches(env, this.#base.words)));
    const words = `${scene.name}, ${error} at ${point.name} ${point.nth} (${point.what})`;
    return { isTold: answers.some((answer) => !answer?.ok), faults: faults.map((fault) => `${words}: ${fault}`) };
  }

  async #case(scene: Scene, wrong: NodeJS.ProcessEnv): Promise<CacheCase> {
    const directory = join(this.#folder, `cached-${++this.#cases}`);
    copyVault(this.#base.directory, directory);
    const env = { ...this.#base.env, COFFER_DATA_DIR: directory };
    const driver = await Driver.start({ ...env, ...wrong, UV_THREADPOOL_SIZE: '1' });
    await driver.ask({ do: 'wake' });
    if (scene.isBuilt) await build(driver, directory);
    await driver.ask({ do: 'open' });
    const [fileId, word] = [...this.#base.words][SESSION]!;
    const target = { fileId, word };
    const dispose = async (): Promise<void> => {
      await driver.kill();
      rmSync(directory, { recursive: true, force: true });
      rmSync(`${directory}.log`, { force: true });
    };
    return { driver, directory, env, target, asks: scene.asks(target), [Symbol.asyncDispose]: dispose };
  }
}

/** The session that is searched for, deleted, or changed. */
const SESSION = 1;

/** A vault with a process stopped right before the operation under attack. */
interface CacheCase extends AsyncDisposable {
  readonly driver: Driver;
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly target: { readonly fileId: string; readonly word: string };
  readonly asks: readonly Asked[];
}

function isOnCache(what: string, directory: string): boolean {
  return what.includes(`${directory}/index`) || what.includes(`${directory}/texts`) || /\/\.(index|texts)\./.test(what);
}

function thingIn(what: string): string {
  const [, name = ''] = /\/(\.?(?:index|texts)[^">]*)/.exec(what) ?? [];
  return `${name.replace(/[0-9a-f]{16}/, '*')} ${/O_CREAT|O_WRONLY|O_RDWR/.exec(what) ?? ''}`;
}
