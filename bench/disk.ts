import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import { MemoryKeyring } from '../src/keyring/memory.ts';
import { type Event, encodeEvents } from '../src/session/event/event.ts';
import { openVault } from '../src/session/open-vault.ts';
import type { Sessions } from '../src/session/sessions.ts';
import type { Line, Measure, Size } from './part.ts';
import { peers } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';
import { namesOf } from './steps-field.ts';
import { placed, turnOf } from './steps-session.ts';
import { Transcript } from './transcript.ts';

/** The range of step sizes, in bytes of plaintext. */
const STEPS = { from: 2048, to: 20 * 1024 };
/** The steps that grow a session to 10 MB while the bytes they write are counted. */
const WRITTEN = { steps: 500, bytes: 20 * 1024 };
/**
 * The size from which shares are tracked (or half of the final size, if that is smaller): below it,
 * the fixed overhead of a file dominates.
 */
const WATCHED = 1e6;
/**
 * The peers whose disk usage is measured. A peer that rewrites one file takes about its plaintext,
 * once.
 */
const asked = peers.filter(({ id }) => ['jsonl', 'sqlite', 'sqlcipher'].includes(id));
const PEER_SIZES: Record<Size, readonly number[]> = { full: [1e6, 1e7], short: [1e6] };

/**
 * Measures the bytes that sessions take on disk, and the bytes written to get there, relative to
 * their plaintext JSONL.
 */
export const measureDisk: Measure = async (folder, size) => {
  await using sessions = await openVault({ directory: join(folder, 'vault'), keyring: new MemoryKeyring(), env: {} });
  const lines: Line[] = [];
  const notes: string[] = [];
  for (const bytes of [1e6, 1e7]) {
    const grown = await grow(sessions, bytes);
    lines.push(...linesOf('disk', 'coffer', bytes, grown));
    notes.push(shrinkingOf(bytes, grown.lines), ...foldNote(bytes, grown));
  }
  for (const bytes of PEER_SIZES[size]) {
    for (const peer of asked) {
      const own = join(folder, `${peer.id}-${bytes}`);
      mkdirSync(own);
      lines.push(...linesOf(`disk-${peer.id}`, peer.name, bytes, await growPeer(peer, own, bytes)));
    }
  }
  const written = await writtenBy(sessions);
  return { lines: [...lines, ...written.lines], curves: [], notes: [...notes, ...written.notes] };
};

/** The disk usage of a session as it grew. */
interface Grown {
  /** All bytes of its files after it was closed, and of its plaintext. */
  readonly exit: Held;
  /** The same amounts at the moment of the largest share, from {@link WATCHED} on. */
  readonly live: Held;
}

interface Held {
  readonly files: number;
  readonly plain: number;
}

/** Returns the one with the larger share of its plaintext. */
function larger(one: Held | undefined, other: Held): Held {
  return one && one.files / one.plain >= other.files / other.plain ? one : other;
}

/**
 * Grows a coffer session and closes it. Also returns its lines, and the largest total size of the
 * old and the new copy during a fold.
 */
async function grow(
  sessions: Sessions,
  bytes: number,
): Promise<Grown & { readonly lines: Buffer; readonly folding: Held | undefined }> {
  const transcript = new Transcript(bytes);
  const session = sessions.begin({ directory: '/work/project', model: 'demo/echo' });
  const watch = new Watch(bytes);
  const lines: Buffer[] = [];
  let seen = 0;
  let before: { ino: number; size: number } | undefined;
  let folding: Held | undefined;
  while (watch.isGrowing) {
    await session.append(...turnOf(transcript, anySize(transcript)));
    const added = encodeEvents(session.events.slice(seen));
    seen = session.events.length;
    lines.push(added);
    const after = statSync(join(sessions.directory, 'sessions', session.fileId ?? ''));
    const held = watch.see(added.length, after.size);
    if (before && before.ino !== after.ino && held.plain >= WATCHED)
      folding = larger(folding, { files: before.size + after.size, plain: held.plain });
    before = after;
  }
  await session.close();
  const last = encodeEvents(session.events.slice(seen)).length;
  const files = statSync(join(sessions.directory, 'sessions', session.fileId ?? '')).size;
  return { ...watch.grown({ files, plain: watch.plain + last }), lines: Buffer.concat(lines), folding };
}

async function growPeer(peer: Peer, folder: string, bytes: number): Promise<Grown> {
  const transcript = new Transcript(bytes);
  const ids = { next: 1 };
  const open = await peer.open(folder, []);
  const watch = new Watch(bytes);
  while (watch.isGrowing) {
    const events: Event[] = [...placed(turnOf(transcript, anySize(transcript)), ids)];
    await open.step(events);
    watch.see(encodeEvents(events).length, sizeOf(folder));
  }
  await open.close();
  return watch.grown({ files: sizeOf(folder), plain: watch.plain });
}

/** Tracks a session up to its final size, and the largest share its files had of its plaintext. */
class Watch {
  plain = 0;
  readonly #bytes: number;
  #largest: Held | undefined;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Whether it is still below its final size. */
  get isGrowing(): boolean {
    return this.plain < this.#bytes;
  }

  see(added: number, files: number): Held {
    this.plain += added;
    const held = { files, plain: this.plain };
    if (this.plain >= Math.min(WATCHED, this.#bytes / 2)) this.#largest = larger(this.#largest, held);
    return held;
  }

  grown(exit: Held): Grown {
    return { exit, live: this.#largest ?? exit };
  }
}

function linesOf(id: string, name: string, bytes: number, { exit, live }: Grown): Line[] {
  const [sizeId, size] = namesOf(bytes);
  const at = `${(live.plain / 1e6).toFixed(1)} MB`;
  return [
    heldLine(`${id}-${sizeId}-exit`, `${name}: files of a ${size} session after exit`, exit),
    heldLine(`${id}-${sizeId}-live`, `${name}: the same at its largest share while it grew, ${at}`, live),
  ];
}

function heldLine(id: string, what: string, { files, plain }: Held): Line {
  return amountLine(id, what, files, { what: 'its plaintext JSONL', bytes: plain });
}

function amountLine(id: string, what: string, bytes: number, against: { what: string; bytes: number }): Line {
  const amount = bytes / 2 ** 20;
  const value = { runs: 1, median: amount, p10: amount, p90: amount };
  return { id, what, value, unit: 'MiB', against: { what: against.what, ratio: bytes / against.bytes } };
}

/** Describes how far `zstd -3` shrinks the data in one go, without any framing. */
function shrinkingOf(bytes: number, lines: Buffer): string {
  const packed = zstdCompressSync(lines, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  const [, size] = namesOf(bytes);
  return `data: zstd -3 shrinks the JSONL of the ${size} session ${(lines.length / packed.length).toFixed(2)} times`;
}

function foldNote(bytes: number, { folding }: { folding: Held | undefined }): string[] {
  if (!folding) return [];
  const [, size] = namesOf(bytes);
  const share = (folding.files / folding.plain).toFixed(2);
  return [
    `disk: during a fold, the old and the new file of the ${size} session together take at most ${share} of its plaintext`,
  ];
}

/**
 * Measures what the 500 steps that grow a session to 10 MB write: everything this process passes to
 * the system meanwhile.
 */
async function writtenBy(sessions: Sessions): Promise<{ lines: Line[]; notes: string[] }> {
  if (!existsSync(COUNTS)) return { lines: [], notes: [`written: left out, this system has no ${COUNTS}`] };
  const transcript = new Transcript(WRITTEN.steps);
  const session = sessions.begin({ directory: '/work/project', model: 'demo/echo' });
  const before = counts();
  for (let step = 0; step < WRITTEN.steps; step++) await session.append(...turnOf(transcript, WRITTEN.bytes));
  const after = counts();
  const plain = encodeEvents(session.events).length;
  await session.close();
  const closed = counts();
  const what = `bytes written by ${WRITTEN.steps} steps that grow a session to ${(plain / 1e6).toFixed(1)} MB`;
  const share = (end: number, start: number): string => ((end - start) / plain).toFixed(2);
  return {
    lines: [
      amountLine('written-10mb', what, after.wchar - before.wchar, { what: 'its plaintext JSONL', bytes: plain }),
    ],
    notes: [
      `written: wchar of ${COUNTS}, which counts everything the process writes, to pipes as well; with the exit ${share(closed.wchar, before.wchar)} times the plaintext`,
      `written: pages sent to the disk (write_bytes): ${share(after.write_bytes, before.write_bytes)} times the plaintext, with the exit ${share(closed.write_bytes, before.write_bytes)}`,
    ],
  };
}

const COUNTS = '/proc/self/io';

function counts(): { wchar: number; write_bytes: number } {
  const text = readFileSync(COUNTS, 'utf8');
  const [wchar, write_bytes] = ['wchar', 'write_bytes'].map((name) => {
    const count = new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1];
    if (count === undefined) throw new Error(`${COUNTS} has no ${name}`);
    return Number(count);
  });
  return { wchar: wchar ?? 0, write_bytes: write_bytes ?? 0 };
}

function anySize(transcript: Transcript): number {
  return STEPS.from + transcript.below(STEPS.to - STEPS.from);
}

function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
