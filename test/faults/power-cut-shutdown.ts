import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { attachLoop, Undo } from './block-device.ts';
import { History, type Verdict } from './power-cut-history.ts';
import { environment, type Key, vaultOn } from './power-cut-home.ts';
import { Eye, judgeBoth } from './power-cut-lane.ts';
import { type Protocol, protocols } from './power-cut-protocols.ts';
import type { Sample } from './sample.ts';

/*
 * A second check of the same promise, independent of the recorded device: the file system itself is
 * shut down right after an acknowledgement, and forgets whatever it has not written.
 */

const run = promisify(execFile);

/** The smallest xfs that mkfs.xfs makes is 300 MB; the files are sparse. */
const KINDS = [
  { kind: 'ext4', size: '64M', make: ['mkfs.ext4', '-q', '-F'] },
  { kind: 'xfs', size: '300M', make: ['mkfs.xfs', '-q', '-f'] },
] as const;

/**
 * Number of acknowledgements of each protocol that are followed by a shutdown, each in a separate
 * vault.
 */
const MOMENTS = 6;
/** The short form tries one of them in this many. */
const INTERVAL = 6;

/** The outcome of the shutdowns, and their number. */
export interface Shutdowns extends Verdict {
  cases: number;
  /** Number of shutdowns after which something was wrong. */
  bad: number;
}

/** Shuts ext4 and xfs down right after acknowledgements of these protocols. */
export async function shutdowns(
  folder: string,
  key: Key,
  names: readonly Protocol['name'][],
  { sample, wrong = {} }: { readonly sample: Sample; readonly wrong?: NodeJS.ProcessEnv },
): Promise<Shutdowns> {
  mkdirSync(folder);
  const cases = protocols
    .filter(({ name }) => names.includes(name))
    .flatMap((protocol) => Array.from({ length: MOMENTS }, (_, index) => ({ protocol, moment: index + 1 })));
  const chosen = [...sample.of(cases, INTERVAL, ({ protocol }) => protocol.name)];
  const found = await Promise.all(
    KINDS.map(async (system) => {
      const total: Shutdowns = { cases: 0, bad: 0, lost: 0, accepted: 0, faults: [] };
      await using eye = new Eye();
      await using undo = new Undo();
      const disk = await Disk.make(folder, system, undo);
      for (const { protocol, moment } of chosen) {
        const verdict = await disk.shutDown(protocol, moment, key, eye, wrong);
        total.cases++;
        total.bad += Math.min(1, verdict.faults.length);
        total.lost += verdict.lost;
        total.accepted += verdict.accepted;
        const where = `${protocol.name}: ${system.kind} shut down after acknowledgement ${moment}`;
        total.faults.push(...verdict.faults.map((fault) => `${where}: ${fault}`));
      }
      return total;
    }),
  );
  return found.reduce((sum, each) => ({
    cases: sum.cases + each.cases,
    bad: sum.bad + each.bad,
    lost: sum.lost + each.lost,
    accepted: sum.accepted + each.accepted,
    faults: [...sum.faults, ...each.faults],
  }));
}

/** A file system that is shut down, and mounted again as after a power cut. */
class Disk {
  readonly #loop: string;
  readonly #kind: string;
  readonly #root: string;
  #people = 0;

  private constructor(loop: string, kind: string, root: string) {
    this.#loop = loop;
    this.#kind = kind;
    this.#root = root;
  }

  static async make(folder: string, { kind, size, make }: (typeof KINDS)[number], undo: Undo): Promise<Disk> {
    const image = join(folder, `${kind}.img`);
    await run('truncate', ['-s', size, image]);
    await run(make[0], [...make.slice(1), image]);
    const disk = new Disk(await attachLoop(image, undo), kind, join(folder, kind));
    mkdirSync(disk.#root);
    undo.add('sh', '-c', 'if mountpoint -q "$1"; then umount "$1"; fi', 'sh', disk.#root);
    await disk.#mount();
    return disk;
  }

  /** Drives a protocol in a new vault up to an acknowledgement, and checks what is left of it. */
  async shutDown(
    protocol: Protocol,
    moment: number,
    key: Key,
    eye: Eye,
    wrong: NodeJS.ProcessEnv = {},
  ): Promise<Verdict> {
    const root = join(this.#root, `person-${++this.#people}`);
    mkdirSync(join(vaultOn(root), '..'), { recursive: true, mode: 0o700 });
    let begun = false;
    let left = moment;
    let now = 0;
    const history = new History(
      () => ++now,
      async () => {
        if (!begun || --left > 0) return;
        await run('xfs_io', ['-x', '-c', 'shutdown', this.#root]);
        throw STOPPED;
      },
    );
    const begin = (): void => {
      begun = true;
    };
    const env = { ...environment(key, root), ...wrong };
    const ended = await protocol.drive({ root: this.#root, history, env, begin }).catch((error: unknown) => error);
    if (ended !== STOPPED) throw ended ?? new Error(`${protocol.name} has no acknowledgement ${moment}`);
    await run('umount', [this.#root]);
    await this.#mount();
    return judgeBoth(await eye.look(root, key, true), history, now);
  }

  async #mount(): Promise<void> {
    await run('mount', ['-t', this.#kind, this.#loop, this.#root]);
  }
}

/** Thrown to end a drive in the middle. */
const STOPPED = new Error('the file system was shut down');
