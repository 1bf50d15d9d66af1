import { existsSync, readFileSync, realpathSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { eventsOf, Transcript } from './transcript.ts';

/** The machine that the figures were measured on. */
export interface Machine {
  readonly processor: string;
  readonly node: string;
  readonly kernel: string;
  /** The type of the measured file system, and its device. */
  readonly disk: string;
}

/** Describes this machine, and the file system that `folder` is on. */
export function describeMachine(folder: string): Machine {
  const [first] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return {
    processor: `${cpus().length} × ${first?.model.trim() ?? 'unknown'}, ${memory}`,
    node: `Node ${process.versions.node}, ${process.platform} ${process.arch}`,
    kernel: release(),
    disk: describeDisk(folder),
  };
}

/**
 * Returns the temp folder, or this repository's dist if the temp folder is in memory, where
 * durability costs nothing.
 */
export function defaultFolder(): string {
  return isInMemory(tmpdir()) ? join(import.meta.dirname, '../dist') : tmpdir();
}

/** Returns warnings and facts about the figures. */
export function notesOn(folder: string): string[] {
  const [load = 0] = loadavg();
  return [
    ...(isInMemory(folder)
      ? [`${folder} is in memory, where durability costs nothing; name a folder on a disk with --folder`]
      : []),
    ...(load > cpus().length / 2
      ? [`load ${load.toFixed(1)} on ${cpus().length} processors before the run: this machine was busy`]
      : []),
    `zstd -3 shrinks 1 MB of the made-up transcripts ${shrinkage().toFixed(2)} times`,
  ];
}

function describeDisk(folder: string): string {
  if (process.platform !== 'linux') return `type ${statfsSync(folder).type}`;
  const mount = mountOf(realpathSync(folder));
  return mount === undefined ? 'unknown' : `${mount.type} on ${mount.source}`;
}

/**
 * Returns the innermost mount that contains the path. See proc(5) for the fields: the optional ones
 * end with a dash.
 */
function mountOf(path: string): { type: string; source: string } | undefined {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  let found: { point: string; type: string; source: string } | undefined;
  for (const line of mounts) {
    const [place = '', device = ''] = line.split(' - ');
    const point = place.split(' ')[4] ?? '';
    const [type = '', source = ''] = device.split(' ');
    const holds = path === point || path.startsWith(point === '/' ? '/' : `${point}/`);
    if (holds && point.length >= (found?.point.length ?? 0)) found = { point, type, source };
  }
  return found;
}

/** Whether a folder exists and is on a file system in memory. */
export function isInMemory(folder: string): boolean {
  const TMPFS = 0x01021994;
  return process.platform === 'linux' && existsSync(folder) && statfsSync(folder).type === TMPFS;
}

function shrinkage(): number {
  const text = Buffer.from(
    eventsOf(new Transcript(1), 2 ** 20)
      .map((event) => `${JSON.stringify(event)}\n`)
      .join(''),
  );
  return text.length / zstdCompressSync(text).length;
}
