import { existsSync, readFileSync, realpathSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { eventsOf, Transcript } from './transcript.ts';

/** What made the figures what they are, as far as the machine has a part in it. */
export interface Machine {
  readonly processor: string;
  readonly node: string;
  readonly kernel: string;
  /** The file system that was measured, with what it is on. */
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

/** The temp folder, or this repository's build where that is in memory: what is durable there says nothing. */
export function defaultFolder(): string {
  return isInMemory(tmpdir()) ? join(import.meta.dirname, '../dist') : tmpdir();
}

/** What to know of the figures before believing them. */
export function notesOn(folder: string): string[] {
  const [load = 0] = loadavg();
  return [
    ...(isInMemory(folder)
      ? [`${folder} is in memory, where durable costs nothing; name a folder on a disk with --folder`]
      : []),
    ...(load > cpus().length / 2
      ? [`load ${load.toFixed(1)} on ${cpus().length} processors before it began: this machine was busy`]
      : []),
    `zstd -3 shrinks 1 MB of the made-up transcripts ${shrinkage().toFixed(2)} times`,
  ];
}

function describeDisk(folder: string): string {
  if (process.platform !== 'linux') return `type ${statfsSync(folder).type}`;
  const mount = mountOf(realpathSync(folder));
  return mount === undefined ? 'unknown' : `${mount.type} on ${mount.source}`;
}

/** The last mount whose point holds the path; what proc(5) says of the fields: the optional ones end with a dash. */
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

/** Whether a folder is there, on a file system that has no disk. */
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
