import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { mountRam, RecordedDevice, type Tally, Undo } from './block-device.ts';
import { type Answer, type Asked, Driver } from './driven.ts';
import { environment, type Key, makeCredentials, vaultOn } from './power-cut-home.ts';
import { machine, writeBetweenMarks } from './report.ts';
import { readLog, Tracer } from './strace.ts';

/*
 * node test/faults/flushes.ts [--write]: counts what one save of each kind costs a disk, on ext4
 * and on xfs: the system calls that flush, and the traffic that reaches a recorded block device
 * until the save is acknowledged. With --write the table goes into docs/durability.md.
 */

const run = promisify(execFile);

/**
 * Number of times every kind of save is made, each with no other writes pending; the medians count.
 */
const ROUNDS = 7;
const SYSTEMS = ['ext4', 'xfs'] as const;
const MARKS = ['<!-- flushes: begin -->', '<!-- flushes: end -->'] as const;
const FLUSHING = ['fsync', 'fdatasync', 'sync_file_range', 'syncfs', 'sync', 'msync'];

/** The cost of one save. */
interface Cost extends Tally {
  /** Number of calls that flush, by name. */
  readonly calls: Readonly<Record<string, number>>;
}

/** A process that saves; only the save itself is counted. */
interface Saving {
  readonly pid: number;
  save(): Promise<void>;
  end(): Promise<void>;
}

/** A kind of save. */
interface Kind {
  readonly name: string;
  /** Brings a process right before the save, in a new folder on the device. */
  ready(folder: string, key: Key): Promise<Saving>;
}

const SMALL = 8_000;
const LARGE = 1_000_000;
const begin: readonly Asked[] = [{ do: 'open' }, { do: 'begin' }];

const kinds: readonly Kind[] = [
  ofVault('first step in a new vault', [], [...begin, step('one')]),
  ofVault("new session's first step", [...begin, step('one'), { do: 'close' }, ...begin], [step('one')]),
  ofVault('overwrite, 8 KB', [...begin, step('one', SMALL)], [step('two', 2048)]),
  ofVault('append, 1 MB', [...begin, step('one', LARGE)], [step('two', 2048)]),
  ofVault('overwrite by a final save, 8 KB', [...begin, step('one', SMALL)], [{ do: 'finalSave' }]),
  ofVault('append by a final save, 1 MB', [...begin, step('one', LARGE)], [{ do: 'finalSave' }]),
  ofVault('close, 8 KB', [...begin, step('one', SMALL), step('two')], [{ do: 'close' }]),
  ofVault('close with a fold, 1 MB', [...begin, step('one', LARGE), step('two')], [{ do: 'close' }]),
  ofVault('resume', [...begin, step('one'), { do: 'close' }], [{ do: 'resume', text: '_autosave' }]),
  ofVault('snapshot, 8 KB', [...begin, step('one', SMALL)], [{ do: 'snapshot', text: 'kept' }]),
  ofVault('torn-tail repair, 1 MB', [...begin, step('one', LARGE)], [step('two', 2048)], tear),
  ...(['append + fdatasync', 'append', 'write-file-atomic', 'AES-GCM in place', 'sqlite, WAL, FULL'] as const).map(
    ofPeer,
  ),
];

function step(text: string, size = 40): Asked {
  return { do: 'step', text, size };
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-flushes-'));
  try {
    await using undo = new Undo();
    const ram = await mountRam(join(folder, 'ram'), undo);
    const key = makeCredentials(join(ram, 'credentials'));
    const found = new Map<string, Map<string, Cost>>(kinds.map(({ name }) => [name, new Map()]));
    for (const system of SYSTEMS) {
      await using device = await RecordedDevice.start(join(ram, system), system);
      for (const kind of kinds) found.get(kind.name)?.set(system, await measure(kind, device, key, ram));
    }
    const text = table(found);
    console.log(text);
    if (process.argv.includes('--write')) {
      const when = `Counted on ${new Date().toISOString().slice(0, 10)}: ${machine()}.`;
      writeBetweenMarks('docs/durability.md', MARKS, `${when}\n\n${text}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Makes one kind of save repeatedly, in a new folder each time. */
async function measure(kind: Kind, device: RecordedDevice, key: Key, ram: string): Promise<Cost> {
  const costs: Cost[] = [];
  const person = join(device.root, 'person');
  const log = join(ram, 'calls');
  for (let round = 0; round < ROUNDS; round++) {
    mkdirSync(person, { recursive: true });
    const saving = await kind.ready(person, key);
    await run('sync', ['--file-system', device.root]);
    const tracer = await Tracer.attach(saving.pid, { calls: FLUSHING, log, follow: true });
    const from = device.position;
    await saving.save();
    const until = device.position;
    await tracer.detach();
    const calls: Record<string, number> = {};
    for (const { name } of readLog(log)) calls[name] = (calls[name] ?? 0) + 1;
    costs.push({ ...device.tally(from, until), calls });
    await saving.end();
    rmSync(person, { recursive: true });
    rmSync(log);
  }
  return costs.toSorted((a, b) => a.flushes - b.flushes || a.bytes - b.bytes)[Math.floor(ROUNDS / 2)]!;
}

/** Returns a save of the vault, by the real code in a separate process. */
function ofVault(
  name: string,
  before: readonly Asked[],
  save: readonly Asked[],
  damage?: (directory: string, driver: Driver, env: NodeJS.ProcessEnv) => Promise<Driver>,
): Kind {
  return {
    name,
    ready: async (folder, key) => {
      mkdirSync(join(vaultOn(folder), '..'), { recursive: true });
      const env = environment(key, folder);
      let driver = await Driver.start(env);
      await askAll(driver, before);
      driver = (await damage?.(env['COFFER_DATA_DIR']!, driver, env)) ?? driver;
      return { pid: driver.pid, save: async () => void (await askAll(driver, save)), end: () => driver.kill() };
    },
  };
}

/**
 * Simulates a power cut after the length of a file was written, but not its data, and lets the next
 * process find it.
 */
async function tear(directory: string, driver: Driver, env: NodeJS.ProcessEnv): Promise<Driver> {
  const { fileId } = await askAll(driver, [step('torn')]);
  await driver.kill();
  appendFileSync(join(directory, 'sessions', fileId!), Buffer.alloc(90));
  const next = await Driver.start(env);
  await askAll(next, [{ do: 'open' }, { do: 'resume', text: '_autosave' }]);
  return next;
}

async function askAll(driver: Driver, asks: readonly Asked[]): Promise<Answer> {
  let answer: Answer | undefined;
  for (const asked of asks) {
    answer = await driver.ask(asked);
    if (!answer?.ok) throw new Error(`${asked.do} failed: ${answer?.error?.message ?? 'the driver has ended'}`);
  }
  return answer ?? { ok: true, began: 0, done: 0 };
}

/** Returns a step of 2 KB saved as another program does, in a conversation of 1 MB. */
function ofPeer(name: string): Kind {
  return {
    name: `*${name}*, 1 MB`,
    ready: async (folder) => {
      const script = join(import.meta.dirname, 'flushes-peers.ts');
      const child: ChildProcess = spawn(process.execPath, [script, name, folder, String(LARGE)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
      const answered = async (): Promise<void> => {
        if ((await lines.next()).done === true) throw new Error(`${name} has ended`);
      };
      const save = async (): Promise<void> => {
        child.stdin!.write('save\n');
        await answered();
      };
      await answered();
      await save(); // count the second step: the first makes the file
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      const end = (): Promise<void> => {
        child.stdin!.end();
        return ended;
      };
      return { pid: child.pid!, save, end };
    },
  };
}

function table(found: ReadonlyMap<string, ReadonlyMap<string, Cost>>): string {
  const head = ['save', 'calls that flush', ...SYSTEMS.map((system) => `${system}: flushes, written`)];
  const rows = [...found].map(([name, costs]) => {
    const calls = [...new Set([...costs.values()].map(({ calls }) => wordsFor(calls)))];
    const cells = SYSTEMS.map((system) => {
      const { flushes, bytes } = costs.get(system)!;
      return `${flushes}, ${Math.ceil(bytes / 1024)} KiB`;
    });
    return `| ${[name, calls.join(' or '), ...cells].join(' | ')} |`;
  });
  return [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows].join('\n');
}

function wordsFor(calls: Cost['calls']): string {
  const words = Object.entries(calls)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, count]) => `${count} ${name}`);
  return words.join(', ') || 'none';
}
