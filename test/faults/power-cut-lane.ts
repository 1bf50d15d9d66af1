import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { StateDevice, type Undo } from './block-device.ts';
import { type DeviceState, describe, type Recording, StateBuilder } from './block-device-states.ts';
import type { Seen, ToSee } from './power-cut-checker.ts';
import { WENT_ON } from './power-cut-checker.ts';
import type { History, Verdict } from './power-cut-history.ts';
import { environment, type Key, loggedIn, vaultOn } from './power-cut-home.ts';

/** One state that was checked. */
export interface Tried extends Verdict {
  /** Whether a file ended in a torn step. */
  readonly torn: boolean;
}

/** A device for states and a process that checks them; several run in parallel. */
export class Lane implements AsyncDisposable {
  readonly #device: StateDevice;
  readonly #eye: Eye;

  private constructor(device: StateDevice, eye: Eye) {
    this.#device = device;
    this.#eye = eye;
  }

  static async open(folder: string, undo: Undo): Promise<Lane> {
    return new Lane(await StateDevice.attach(folder, undo), new Eye());
  }

  /** Tries states of a recording, in order of time. In every fourth the vault is also resumed. */
  async try(
    recording: Recording,
    states: readonly DeviceState[],
    history: History,
    key: Key,
    on: (tried: Tried) => void,
  ): Promise<void> {
    const builder = new StateBuilder(recording);
    for (const [index, state] of states.entries()) {
      const seen = await this.#device
        .mounted(builder, state, (root) => this.#eye.look(root, key, index % 4 === 0))
        .catch((error: unknown) => new Error(`is no file system any more: ${String(error)}`));
      on(judged(seen, state, history));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#eye[Symbol.asyncDispose]();
    await this.#device[Symbol.asyncDispose]();
  }
}

/** Compares the findings with the history, and adds the state to every fault. */
function judged(seen: Seen | Error, state: DeviceState, history: History): Tried {
  if (seen instanceof Error) {
    const none: Verdict = history.judge(
      { files: [], strays: [], error: { code: 'DISK', message: seen.message } },
      state.until,
    );
    return { ...none, torn: false, faults: none.faults.map((fault) => `${fault}; ${describe(state)}`) };
  }
  const verdict = judgeBoth(seen, history, state.until);
  const faults = verdict.faults.map((fault) => `${fault}; ${describe(state)}`);
  return { ...verdict, faults, torn: seen.found.files.some(({ torn }) => torn) };
}

/** Judges the content found, and the content after resuming. */
export function judgeBoth({ found, after }: Seen, history: History, until: number): Verdict {
  const verdict = history.judge(found, until);
  if (!after) return verdict;
  const later = history.judge(after, until, [WENT_ON]);
  const faults = later.faults.map((fault) => `once somebody had gone on: ${fault}`);
  if (!after.files.some(({ texts }) => texts.at(-1) === WENT_ON)) faults.push('resuming left no step');
  if (after.strays.length > 0) faults.push(`resuming left ${after.strays.join(' ')}`);
  return {
    lost: Math.max(verdict.lost, later.lost),
    accepted: Math.max(verdict.accepted, later.accepted),
    faults: [...verdict.faults, ...faults],
  };
}

/** A separate process that opens vaults and returns their content. */
export class Eye implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const env = { PATH: process.env['PATH'] };
    const script = join(import.meta.dirname, 'power-cut-checker.ts');
    this.#child = spawn(process.execPath, [script], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Checks the vault on a mounted file system. */
  async look(root: string, key: Key, goOn: boolean): Promise<Seen> {
    return loggedIn(key, root, async () => {
      const toSee: ToSee = { directory: vaultOn(root), env: environment(key, root, true), goOn };
      this.#child.stdin?.write(`${JSON.stringify(toSee)}\n`);
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error('the process that checks vaults has ended');
      return JSON.parse(value) as Seen;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
  }
}
