import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { HEADER_LENGTH } from '../../src/envelope/format.ts';
import { type Bus, startKeychain } from '../support/keychain.ts';
import type { Campaign, Control } from './campaign.ts';
import type { Sample } from './sample.ts';

/**
 * Number of first uses, in the whole form and in the short one. They are all alike, so there is
 * nothing to select.
 */
const TIMES = [50, 4] as const;
const PROCESSES = 8;
/** The processes are replaced after this many first uses. */
const RENEWED = 10;

/** Allowed names in a vault's directory. */
const PARTS: ReadonlySet<string> = new Set(['index', 'locks', 'seen', 'sessions', 'vault.json']);

/** The answer of a process of the crowd. */
export interface Used {
  /** The id of the key it has. */
  key?: string | undefined;
  /** The way it got the key: `created` or `opened`. */
  how?: string;
  /** Its first step is durable. */
  saved?: boolean;
  /** Number of times it asked again because the keychain was too busy to answer in time. */
  again: number;
  /** The texts of the messages of all sessions. */
  texts?: string[];
  error?: string;
}

/** First use: eight processes at the same moment over an empty directory and a real keychain. */
export const campaign: Campaign = {
  name: 'first use',
  needs: ['gnome-keyring-daemon', 'dbus-daemon', 'dbus-monitor', 'secret-tool'],
  limits: { short: 120, whole: 900 },
  async run(folder, tell, sample) {
    const times = sample.pick(...TIMES);
    await using bus = await startKeychain();
    const race = new Race(bus);
    const directories = Array.from({ length: times }, (_, time) => join(folder, `${time}`));
    for (let time = 0; time < times; time += RENEWED) {
      tell(`first use ${time + 1} of ${times}`);
      await using crowd = await Crowd.start('first-use-process.ts', PROCESSES, bus);
      for (const directory of directories.slice(time, time + RENEWED)) await race.run(crowd, directory);
    }
    await race.read(directories);
    tell('get, then set');
    const control = await getThenSet(bus, sample);
    const { notes, failures, lost } = race;
    return { cases: race.cases, lost, controls: [control], notes, failures };
  },
};

/** The results of the first uses so far. */
class Race {
  cases = 0;
  lost = 0;
  readonly failures: string[] = [];
  readonly #bus: Bus;
  readonly #winners = new Set<string>();
  /** Number of acknowledged first steps. */
  readonly #saved = new Map<string, number>();
  #keys = 0;
  #leftovers = 0;
  #again = 0;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  get notes(): string[] {
    return [
      `${PROCESSES} processes each`,
      `second keys ${this.#keys - this.cases}`,
      `keychain items left over ${this.#leftovers}`,
      `keychain asked again ${this.#again}`,
    ];
  }

  async run(crowd: Crowd, directory: string): Promise<void> {
    const used = await crowd.ask(`use ${directory}`);
    this.cases++;
    for (const { error } of used) if (error !== undefined) this.failures.push(`${directory}: ${error}`);
    const keys = new Set(used.flatMap(({ key }) => key ?? []));
    this.#keys += keys.size;
    this.#saved.set(directory, used.filter(({ saved }) => saved).length);
    if (keys.size !== 1) this.failures.push(`${directory}: ${keys.size} keys are in use`);
    const created = used.filter(({ how }) => how === 'created').length;
    if (created !== 1) this.failures.push(`${directory}: ${created} processes say that they made the key`);
    this.#again += used.reduce((sum, { again }) => sum + again, 0);
    await this.#look(directory, keys);
  }

  /** Checks the disk and the keychain without the vault's code. */
  async #look(directory: string, keys: ReadonlySet<string>): Promise<void> {
    const expect = (found: unknown, wanted: unknown, what: string): void => {
      if (String(found) !== String(wanted)) this.failures.push(`${directory}: ${what}: ${found} instead of ${wanted}`);
    };
    const strangers = readdirSync(directory).filter((name) => !PARTS.has(name));
    expect(strangers, [], 'what does not belong in it');
    const { key } = JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8'));
    expect([...keys], key, 'the key of vault.json');
    const sessions = join(directory, 'sessions');
    const files = readdirSync(sessions).filter((name) => name !== '_autosave');
    const sealed = files.map((name) =>
      readFileSync(join(sessions, name)).subarray(0, HEADER_LENGTH).toString('hex', 12, 28),
    );
    expect(files.length, PROCESSES, 'files');
    expect([...new Set(sealed)], key, 'the keys that the files name');
    const accounts = (await this.#bus.items()).map(({ attributes }) => attributes['account'] ?? '');
    const others = accounts.filter((account) => account !== key && !this.#winners.has(account));
    if (accounts.filter((account) => account === key).length !== 1)
      this.failures.push(`${directory}: its key is not in the keychain exactly once`);
    for (const account of others)
      this.failures.push(`${directory}: the keychain still holds the losing key ${account}`);
    this.#leftovers += others.length;
    for (const account of accounts) this.#winners.add(account);
  }

  /** Opens everything that was acknowledged in a process that did not take part. */
  async read(directories: readonly string[]): Promise<void> {
    await using crowd = await Crowd.start('first-use-process.ts', 1, this.#bus);
    for (const directory of directories) {
      const [found] = await crowd.ask(`read ${directory}`);
      const texts = new Set(found?.texts).size;
      const saved = this.#saved.get(directory) ?? 0;
      this.lost += Math.max(0, saved - texts);
      if (texts < saved) this.failures.push(`${directory}: ${texts} of ${saved} first steps open: ${found?.error}`);
    }
  }
}

/** Processes that wait for a line, so that they all begin at the same moment. */
class Crowd implements AsyncDisposable {
  readonly #members: { child: ChildProcess; lines: AsyncIterator<string> }[];

  private constructor(members: { child: ChildProcess; lines: AsyncIterator<string> }[]) {
    this.#members = members;
  }

  static async start(script: string, count: number, bus: Bus): Promise<Crowd> {
    const members = Array.from({ length: count }, () => {
      const child = spawn(process.execPath, [join(import.meta.dirname, script)], {
        env: { PATH: process.env['PATH'], COFFER_KEYCHAIN: 'auto', ...bus.env },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
    });
    await Promise.all(members.map(({ lines }) => lines.next()));
    return new Crowd(members);
  }

  async ask(line: string): Promise<Used[]> {
    for (const { child } of this.#members) child.stdin?.write(`${line}\n`);
    return Promise.all(
      this.#members.map(async ({ lines }) => {
        const { value, done } = await lines.next();
        return done === true ? { again: 0, error: 'it ended without an answer' } : JSON.parse(value);
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#members.map(({ child }) => {
      return child.exitCode ?? child.signalCode ?? new Promise((resolve) => child.once('close', resolve));
    });
    for (const { child } of this.#members) child.kill('SIGKILL');
    await Promise.all(ended);
  }
}

/**
 * Runs the same eight processes at the same moment with the same keychain, but without a referee,
 * and counts how often there are two keys.
 */
async function getThenSet(bus: Bus, sample: Sample): Promise<Control> {
  await using crowd = await Crowd.start('wrong-key.ts', PROCESSES, bus);
  let [cases, caught] = [0, 0];
  const [all] = TIMES;
  for (const batch of sample.batches([...Array(all).keys()], 1)) {
    if (caught > 0) break;
    for (const time of batch) {
      const used = await crowd.ask(`account-${time}`);
      const failed = used.find(({ error }) => error !== undefined);
      if (failed) throw new Error(`get, then set: ${failed.error}`);
      cases++;
      if (new Set(used.map(({ key }) => key)).size > 1) caught++;
    }
  }
  return { name: 'get, then set', caught, cases };
}
