import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, type TestContext } from 'vitest';
import { openVault } from '../../src/index.ts';
import { Driver } from '../faults/driven.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { requireKeychain, startKeychain } from '../support/keychain.ts';

/**
 * Steps per session of the writer: enough for a session to be overwritten, appended to and folded.
 */
const STEPS = 120;

/** State of the vault before a copy began. */
interface Before {
  /** Number of acknowledged steps of each session, by its name. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** The names in `sessions`. */
  readonly files: readonly string[];
}

/**
 * Skips the running test if a program is missing. Fails it instead if CI promised to have every
 * program.
 */
function requireProgram(context: TestContext, program: string): void {
  if (process.platform !== 'linux') context.skip('backups were only tried on Linux');
  if (spawnSync('sh', ['-c', `command -v ${program}`]).status === 0) return;
  const note = `${program} missing; install with: apt-get install -y ${program}`;
  if ((process.env['COFFER_TEST_REQUIRE'] ?? '').split(',').includes('keychain')) throw new Error(note);
  context.skip(note);
}

/**
 * A process that writes session after session, and a snapshot now and then, into a vault until it
 * is disposed.
 */
class Writer implements AsyncDisposable {
  readonly acknowledged: Map<string, number> = new Map();
  readonly #sessions: string;
  readonly #driver: Driver;
  readonly #done: Promise<void>;
  #stopped = false;

  private constructor(driver: Driver, sessions: string) {
    this.#sessions = sessions;
    this.#driver = driver;
    this.#done = this.#write();
    this.#done.catch(() => undefined); // callers that wait for output or for the end get the error
  }

  static async start(place: Place): Promise<Writer> {
    const driver = await Driver.start({ ...place.libraryEnv, COFFER_DATA_DIR: place.data });
    await driver.ask({ do: 'open' });
    return new Writer(driver, join(place.data, 'sessions'));
  }

  /** The state so far. Every copy that begins after this must contain it. */
  get now(): Before {
    return { acknowledged: new Map(this.acknowledged), files: readdirSync(this.#sessions) };
  }

  /**
   * Resolves when the acknowledged steps meet the condition. Throws the error the writer failed
   * with.
   */
  async until(condition: () => boolean): Promise<void> {
    const moment = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    while (!condition()) await Promise.race([moment(), this.#done]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver[Symbol.asyncDispose]();
  }

  async #write(): Promise<void> {
    for (let round = 0; !this.#stopped; round++) {
      await this.#ask({ do: 'begin' });
      for (let step = 0; step < STEPS && !this.#stopped; step++) {
        await this.#ask({ do: 'step', text: `r${round}-${step}`, size: 3000 });
        this.acknowledged.set(`r${round}`, step + 1);
        if (step % 25 === 24) await this.#ask({ do: 'snapshot', text: `s${round}-${step}` });
      }
      await this.#ask({ do: 'close' });
    }
  }

  async #ask(asked: Parameters<Driver['ask']>[0]): Promise<void> {
    const answer = await this.#driver.ask(asked);
    if (answer?.ok !== true) throw new Error(`${asked.do} ${asked.text ?? ''}: ${JSON.stringify(answer)}`);
  }
}

/**
 * Returns everything wrong with a copy: a missing step that was acknowledged before the copy began,
 * a file that does not open, a false alarm.
 */
async function faultsIn(directory: string, env: NodeJS.ProcessEnv, before: Before): Promise<string[]> {
  const faults: string[] = [];
  const found = new Map<string, number>();
  await using vault = await openVault({ directory, env });
  for (const row of await vault.list()) {
    if (row.unreadable) {
      faults.push(`${row.fileId} is unreadable: ${row.unreadable.message}`);
      continue;
    }
    if (row.rolledBack) faults.push(`${row.id} is called rolled back: ${row.rolledBack}`);
    const { state } = await vault.read(row);
    const words = state.messages.map(({ content }) => String(content).split(' ')[0] ?? '');
    const round = words[0]?.split('-')[0] ?? '';
    words.forEach((word, step) => {
      if (word !== `${round}-${step}`) faults.push(`${row.id}: ${word} stands where ${round}-${step} belongs`);
    });
    if (row.kind === 'session') found.set(round, words.length);
  }
  const { seen } = vault.upkeep;
  if (seen?.state !== 'good') faults.push(`seen is ${seen?.state}`);
  // A copy may list the files first and read `seen` after another file was made. That file is
  // rightly reported as missing.
  const missing = seen?.removed.filter((fileId) => before.files.includes(fileId)) ?? [];
  if (missing.length > 0) faults.push(`files are missing: ${missing.join(', ')}`);
  for (const [round, steps] of before.acknowledged) {
    if ((found.get(round) ?? 0) < steps) faults.push(`${round} has ${found.get(round)} steps of ${steps}`);
  }
  return faults;
}

const run = promisify(execFile);

/**
 * Files that come and go while a chat writes. A copy program that meets one reports an incomplete
 * copy.
 */
const PASSING = ['--exclude=.*.tmp', '--exclude=locks/*'];

/** Compares times to the nanosecond: two saves within a second may have the same padded size. */
async function rsync(from: string, to: string): Promise<void> {
  await run('rsync', ['--archive', '--delete', ...PASSING, '--modify-window=-1', `${from}/`, `${to}/`]);
}

describe('a vault copied while a chat writes', () => {
  it('opens elsewhere after repeated rsync runs, with every step that was reported saved before', async (context) => {
    requireProgram(context, 'rsync');
    await using place = await makePlace();
    await using writer = await Writer.start(place);
    await writer.until(() => writer.acknowledged.size > 0);
    const mirror = join(place.root, 'mirror');
    const copies: { path: string; before: Before }[] = [];
    for (let number = 0; number < 30 || (writer.acknowledged.get('r1') ?? 0) < STEPS; number++) {
      const before = writer.now;
      await rsync(place.data, mirror);
      const path = join(place.root, `copy-${number}`);
      cpSync(mirror, path, { recursive: true, verbatimSymlinks: true });
      copies.push({ path, before });
    }
    await writer.stop();
    const faults: string[] = [];
    for (const { path, before } of copies) {
      for (const fault of await faultsIn(path, place.libraryEnv, before)) faults.push(`${path}: ${fault}`);
    }
    expect(faults).toEqual([]);
    expect(copies.some(({ before }) => before.acknowledged.get('r0') === STEPS)).toBe(true);
  });

  it('opens when restored by restic, and on a new machine with its recovery code', async (context) => {
    requireProgram(context, 'restic');
    requireKeychain(context);
    await using place = await makePlace();
    let code = '';
    {
      await using vault = await openVault({ directory: place.data, env: place.libraryEnv });
      await vault.keys.slots.addRecoveryCode(async (shown) => {
        code = shown;
        return shown;
      });
    }
    await using writer = await Writer.start(place);
    const repository = join(place.root, 'restic');
    const env = {
      PATH: process.env['PATH'],
      HOME: place.home,
      RESTIC_PASSWORD: 'a backup',
      RESTIC_REPOSITORY: repository,
    };
    const restic = (...args: string[]): Promise<unknown> => run('restic', ['--no-cache', '--quiet', ...args], { env });
    await restic('init');
    const copies: { path: string; before: Before }[] = [];
    for (let number = 0; number < 3; number++) {
      const enough = 40 * (number + 1);
      await writer.until(() => [...writer.acknowledged.values()].reduce((sum, steps) => sum + steps, 0) >= enough);
      const before = writer.now;
      await restic('backup', ...PASSING, place.data);
      const target = join(place.root, `restored-${number}`);
      await restic('restore', 'latest', '--target', target);
      copies.push({ path: join(target, place.data), before });
    }
    await writer.stop();
    for (const { path, before } of copies) {
      const there = join(place.root, 'there');
      cpSync(path, there, { recursive: true, verbatimSymlinks: true });
      expect(await faultsIn(there, place.libraryEnv, before)).toEqual([]);
      rmSync(there, { recursive: true });
    }

    await using bus = await startKeychain();
    await using fresh = await makePlace();
    const { path, before } = copies.at(-1)!;
    cpSync(path, fresh.data, { recursive: true, verbatimSymlinks: true });
    const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR } = bus.env;
    const keychain = { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined };
    expect((await fresh.run(['sessions'], { env: keychain })).code).toBe(12);
    const recovered = await fresh.run(['recover'], { env: keychain, input: `${code}\n` });
    expect(recovered.stdout).toMatch(/(\d+) of \1 sessions and snapshots can be opened/);
    expect(recovered.code).toBe(0);
    const there = { HOME: fresh.home, DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR };
    expect(await faultsIn(fresh.data, there, before)).toEqual([]);
  });

  it('is reported if it lacks a step, a file, or the frame of a step', async () => {
    await using place = await makePlace();
    await using writer = await Writer.start(place);
    await writer.until(() => (writer.acknowledged.get('r0') ?? 0) >= 60);
    const older = join(place.root, 'older');
    cpSync(place.data, older, { recursive: true, verbatimSymlinks: true });
    const before = writer.now;
    await writer.until(() => (writer.acknowledged.get('r0') ?? 0) >= (before.acknowledged.get('r0') ?? 0) + 5);
    await writer.stop();
    const after = writer.now;
    expect(await faultsIn(place.data, place.libraryEnv, after)).toEqual([]);
    expect(await faultsIn(older, place.libraryEnv, after)).not.toEqual([]);
    const empty = join(place.root, 'empty');
    mkdirSync(empty, { mode: 0o700 });
    cpSync(join(older, 'vault.json'), join(empty, 'vault.json'));
    expect(await faultsIn(empty, place.libraryEnv, before)).not.toEqual([]);
  });
});
