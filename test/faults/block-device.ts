import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { type DeviceState, Recording, type StateBuilder } from './block-device-states.ts';

const run = promisify(execFile);

/** Programs that recorded devices need on PATH. */
export const DEVICE_NEEDS: readonly string[] = [
  'root',
  'nbdkit',
  'nbdfuse',
  'fusermount3',
  'losetup',
  'mount',
  'umount',
  'mountpoint',
  'mkfs.ext4',
];

/** The smallest journal that ext4 makes with 4 KiB blocks is 4 MiB. */
const SIZE = 32 * 1024 * 1024;

/** Bytes before the data of a record in the log, see recorder.py. */
const RECORD_HEAD = 13;

/**
 * Steps to undo in any case, the last one first: when the campaign is done, when it fails, and when
 * the process is ended in the middle.
 */
export class Undo implements AsyncDisposable {
  readonly #steps: ((() => void) | readonly [string, ...string[]])[] = [];
  readonly #emergency = (): void => {
    for (const step of this.#steps.splice(0).reverse()) {
      if (typeof step === 'function') {
        step();
        continue;
      }
      const [program, ...args] = step;
      // A process started here may still live. Then the mount goes when the last such process does.
      if (spawnSync(program, args).status !== 0) spawnSync('umount', ['--lazy', args.at(-1)!]);
    }
  };
  readonly #stop = (): void => process.exit(1);

  constructor() {
    process.once('exit', this.#emergency);
    process.once('SIGINT', this.#stop).once('SIGTERM', this.#stop);
  }

  /** Adds the command that undoes the previous step. */
  add(...command: readonly [string, ...string[]]): void {
    this.#steps.push(command);
  }

  /** Adds the function that undoes the previous step. */
  call(step: () => void): void {
    this.#steps.push(step);
  }

  /** Undoes everything. Throws the first error, after undoing the rest. */
  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#emergency).off('SIGINT', this.#stop).off('SIGTERM', this.#stop);
    const errors: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      if (typeof step === 'function') step();
      else await run(step[0], step.slice(1)).catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** Mounts a tmpfs at a new folder, so that work there costs no disk access. */
export async function mountRam(folder: string, undo: Undo, options = 'mode=0700'): Promise<string> {
  mkdirSync(folder);
  await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
  undo.add('umount', folder);
  return folder;
}

/**
 * Makes an empty ext4 in a file, with the usual 4 KiB blocks and nothing left to be initialised
 * later.
 */
export async function makeExt4(image: string): Promise<void> {
  const options = ['-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', '-J', 'size=4', '-m', '0'];
  await run('truncate', ['-s', String(SIZE), image]);
  await run('mkfs.ext4', ['-q', '-F', '-b', '4096', ...options, image]);
}

/** Makes an empty xfs in a file, of the smallest size that mkfs.xfs allows. */
async function makeXfs(image: string): Promise<void> {
  await run('truncate', ['-s', '300M', image]);
  await run('mkfs.xfs', ['-q', '-f', '-K', image]);
}

/** File systems of a recorded device, with the functions that make them. */
const SYSTEMS: Readonly<Record<'ext4' | 'xfs', (image: string) => Promise<void>>> = { ext4: makeExt4, xfs: makeXfs };

/**
 * Attaches a file as a block device. Requests its detachment at once, which the kernel carries out
 * when no process has the device open. This process keeps it open until `undo` runs, so that the
 * device goes with the process even if that is killed.
 */
export async function attachLoop(file: string, undo: Undo): Promise<string> {
  const { stdout } = await run('losetup', ['--find', '--show', file]);
  const device = stdout.trim();
  const held = openSync(device, 'r');
  undo.call(() => closeSync(held));
  await run('losetup', ['--detach', device]);
  return device;
}

/** Traffic that reached a device in some period. */
export interface Tally {
  readonly flushes: number;
  readonly writes: number;
  readonly bytes: number;
}

/**
 * A mounted file system on a device that records every write and every flush with its data: an
 * nbdkit behind a FUSE file behind a loop device, whose flushes arrive as the fsync of that file.
 */
export class RecordedDevice implements AsyncDisposable {
  /** Its mount point. */
  readonly root: string;
  readonly #folder: string;
  readonly #undo: Undo;
  readonly #server: ChildProcess;

  private constructor(folder: string, undo: Undo, server: ChildProcess) {
    this.root = join(folder, 'root');
    this.#folder = folder;
    this.#undo = undo;
    this.#server = server;
  }

  /** Makes one in a new folder, and mounts it. */
  static async start(folder: string, system: keyof typeof SYSTEMS = 'ext4'): Promise<RecordedDevice> {
    mkdirSync(folder);
    const [image, before, file] = ['image', 'before', 'device'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await SYSTEMS[system](image);
    await run('cp', ['--sparse=always', image, before]);
    const undo = new Undo();
    try {
      const server = await serve(folder, file, undo);
      const device = new RecordedDevice(folder, undo, server);
      const loop = await attachLoop(file, undo);
      mkdirSync(device.root);
      await run('mount', ['-t', system, loop, device.root]);
      undo.add('umount', device.root);
      return device;
    } catch (error) {
      await undo[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The current length of the log, in bytes. */
  get position(): number {
    return statSync(join(this.#folder, 'log')).size;
  }

  /** Returns everything recorded so far. */
  recording(): Recording {
    return new Recording(readFileSync(join(this.#folder, 'before')), readFileSync(join(this.#folder, 'log')));
  }

  /** Counts what arrived between two positions in the log. */
  tally(from: number, until: number): Tally {
    const log = openSync(join(this.#folder, 'log'), 'r');
    try {
      const head = Buffer.alloc(RECORD_HEAD);
      const tally = { flushes: 0, writes: 0, bytes: 0 };
      for (let at = from; at < until; ) {
        if (readSync(log, head, 0, head.length, at) < head.length)
          throw new Error('a position in the middle of a record');
        const length = head.readUInt32BE(9);
        if (head[0] === 'F'.charCodeAt(0)) tally.flushes++;
        else {
          tally.writes++;
          tally.bytes += length;
        }
        at += RECORD_HEAD + length;
      }
      return tally;
    } finally {
      closeSync(log);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#server.once('exit', resolve));
    await this.#undo[Symbol.asyncDispose]();
    await ended;
  }
}

/** Starts the recorder, and resolves when its device is ready. */
async function serve(folder: string, file: string, undo: Undo): Promise<ChildProcess> {
  writeFileSync(file, '');
  const plugin = join(import.meta.dirname, 'recorder.py');
  const settings = [`image=${join(folder, 'image')}`, `log=${join(folder, 'log')}`];
  const ready = watch(folder);
  const server = spawn(
    'nbdfuse',
    ['--pidfile', join(folder, 'ready'), file, '[', 'nbdkit', 'python', plugin, ...settings, ']'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  undo.add('fusermount3', '-u', file);
  try {
    await new Promise<void>((resolve, reject) => {
      ready.on('change', (_, name) => name === 'ready' && resolve());
      server.once('error', reject);
      server.once('exit', (code) => reject(new Error(`nbdfuse ended with ${code} before it was ready`)));
    });
  } finally {
    ready.close();
  }
  return server;
}

/** A device on which the states of a recording are built and mounted, one after the other. */
export class StateDevice implements AsyncDisposable {
  /** The mount point of the states. */
  readonly root: string;
  readonly #image: string;
  readonly #loop: string;
  readonly #shell = new Shell();

  private constructor(folder: string, loop: string) {
    this.root = join(folder, 'root');
    this.#image = join(folder, 'state');
    this.#loop = loop;
  }

  /** Makes one in a new folder; `undo` removes it. */
  static async attach(folder: string, undo: Undo): Promise<StateDevice> {
    mkdirSync(folder);
    const image = join(folder, 'state');
    await run('truncate', ['-s', String(SIZE), image]);
    const device = new StateDevice(folder, await attachLoop(image, undo));
    mkdirSync(device.root);
    // Only a campaign that ended in the middle of a state leaves something to unmount.
    undo.add('sh', '-c', 'if mountpoint -q "$1"; then umount "$1"; fi', 'sh', device.root);
    return device;
  }

  /**
   * Builds a state, mounts it as after a power cut, calls `look` on it, and unmounts it. Rejects if
   * it can't be mounted.
   */
  async mounted<T>(builder: StateBuilder, state: DeviceState, look: (root: string) => Promise<T>): Promise<T> {
    const image = openSync(this.#image, 'r+');
    try {
      ftruncateSync(image, 0);
      ftruncateSync(image, SIZE);
      for (const { offset, data } of builder.build(state)) writeWhole(image, data, offset);
    } finally {
      closeSync(image);
    }
    await this.#shell.run('mount', '-t', 'ext4', this.#loop, this.root);
    try {
      return await look(this.root);
    } finally {
      await this.#shell.run('umount', this.root);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shell[Symbol.asyncDispose]();
  }
}

/**
 * A small process that starts programs: starting them from one with hundreds of megabytes costs ten
 * times as much.
 */
class Shell implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const loop =
      'while IFS= read -r line; do if out=$(eval "$line" 2>&1); then echo; else echo "failed: $out" | tr "\\n" " "; echo; fi; done';
    this.#child = spawn('sh', ['-c', loop], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Runs a program. Rejects with its output if it fails. */
  async run(...command: readonly string[]): Promise<void> {
    const line = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    this.#child.stdin?.write(`${line} </dev/null\n`);
    const { value } = await this.#lines.next();
    if (value !== '') throw new Error(`${command.join(' ')}: ${value}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
  }
}

function writeWhole(file: number, data: Buffer, offset: number): void {
  const taken = writeSync(file, data, 0, data.length, offset);
  if (taken !== data.length) throw new Error(`only ${taken} of ${data.length} bytes of a state could be written`);
}
