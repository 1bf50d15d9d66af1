import { execFile } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { attachLoop, makeExt4, type Undo } from './block-device.ts';

const run = promisify(execFile);

/** The file systems that are filled. */
export const SYSTEMS = ['ext4', 'xfs', 'tmpfs'] as const;

/** One of them. */
export type System = (typeof SYSTEMS)[number];

/** Bytes left free for a campaign. Each case fills them again. */
const ROOM = 14 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 0x5a);
const PAGE = 4096;

/** A small mounted file system whose free space can be taken and released. */
export class SmallDisk {
  readonly root: string;
  readonly #filler: string;

  private constructor(root: string) {
    this.root = root;
    this.#filler = join(root, 'filler');
  }

  /** Makes one in a new folder; `undo` removes it. */
  static async make(folder: string, system: System, undo: Undo): Promise<SmallDisk> {
    mkdirSync(folder);
    const root = join(folder, 'root');
    mkdirSync(root);
    if (system === 'tmpfs') await run('mount', ['-t', 'tmpfs', '-o', `size=${ROOM}`, 'tmpfs', root]);
    else {
      const image = join(folder, 'image');
      await (system === 'ext4' ? makeExt4(image) : makeXfs(image));
      await run('mount', ['-t', system, await attachLoop(image, undo), root]);
    }
    undo.add('umount', root);
    const disk = new SmallDisk(root);
    const ballast = disk.#free - ROOM;
    if (ballast > 0) await run('fallocate', ['--length', String(ballast), join(root, 'ballast')]);
    return disk;
  }

  /** Fills it until `bytes` are free, or a little less. */
  fill(bytes: number): void {
    const file = openSync(this.#filler, 'w');
    try {
      let size = 0;
      for (const chunk of [CHUNK, CHUNK.subarray(0, PAGE), CHUNK.subarray(0, 1)]) {
        // The file system may reserve space later than the write, so ask the descriptor how much is
        // free.
        while (this.#free - chunk.length >= bytes) {
          const taken = writeUnlessFull(file, chunk, size);
          size += taken;
          if (taken < chunk.length) break;
        }
      }
      ftruncateSync(file, size);
    } finally {
      closeSync(file);
    }
  }

  /** Releases the space. */
  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  get #free(): number {
    const { bavail, bsize } = statfsSync(this.root);
    return bavail * bsize;
  }
}

/** The smallest xfs that mkfs.xfs makes is 300 MB. */
async function makeXfs(image: string): Promise<void> {
  await run('truncate', ['-s', '300M', image]);
  await run('mkfs.xfs', ['-q', '-f', image]);
}

function writeUnlessFull(file: number, chunk: Buffer, at: number): number {
  try {
    return writeSync(file, chunk, 0, chunk.length, at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return 0;
    throw error;
  }
}
