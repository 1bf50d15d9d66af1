import { totalmem } from 'node:os';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { CofferError } from '../../errors.ts';
import { memoryLeft } from '../../files/memory.ts';

/*
 * V8 ends the process where its heap is full, and the kernel where its own memory is; neither can be caught. So whoever opens a session asks
 * before each of its pieces whether that still fits.
 */

const MIB = 1024 * 1024;

/** What a line takes in memory while it is read, times its bytes: its text and what JSON makes of it, both of up to two bytes a character. */
const GROWTH = 4;

/** What even the most compact plaintext takes, times its bytes: text that is written in escapes becomes shorter. */
const LEAST = 0.4;

/** What is kept free in V8's heap for what is done with the session then, besides a sixteenth of it. */
const SPARE = 24 * MIB;

/** What V8 gives its nursery of a heap whose size it was told; of another one it is 3 parts of 67. */
const NURSERY = 192 * MIB;

/** Less than this is not asked about. */
const SMALL = 32 * MIB;

/** The memory of this process, while one session is opened. */
export class Room {
  readonly #what: string;
  #asked = 0;

  /** `what` is named where there is not enough. */
  constructor(what: string) {
    this.#what = what;
  }

  /** Makes sure that `bytes` more of plaintext can be read, with `left` bytes to come behind them. Throws `TOO_LARGE`. */
  require(bytes: number, left: number): void {
    const room = heapSize() * (15 / 16) - SPARE;
    if ((bytes + left) * LEAST > room || !fitsHeap(bytes, room)) throw heapTooSmall(this.#what);
    // Asking the system takes longer than reading a few lines.
    this.#asked -= bytes;
    if (this.#asked > 0) return;
    this.#asked = 8 * MIB;
    if (Math.max((bytes + left) * LEAST, bytes * GROWTH) > memoryLeft()) throw machineTooSmall(this.#what);
  }
}

/** Makes sure that so many bytes can be read into memory as they are. Throws `TOO_LARGE`, to which the caller adds of what. */
export function requireMemory(bytes: number): void {
  if (bytes >= SMALL && bytes > memoryLeft()) throw machineTooSmall('it');
}

/** How large the heap may become, without its nursery: V8 gives up where what lasts has no room, however small the nursery is. */
function heapSize(): number {
  const limit = getHeapStatistics().heap_size_limit;
  const flags = [process.env['NODE_OPTIONS'], ...process.execArgv].join(' ').replaceAll('_', '-');
  const semiSpace = /--max-semi-space-size[= ](\d+)/.exec(flags)?.[1];
  if (semiSpace !== undefined) return limit - 3 * Number(semiSpace) * MIB;
  return flags.includes('--max-old-space-size') ? limit - NURSERY : limit * (64 / 67);
}

function fitsHeap(bytes: number, room: number): boolean {
  const need = bytes * GROWTH;
  if (getHeapStatistics().used_heap_size + need <= room) return true;
  // Much of what is used may be garbage. Where collecting it gains little, collecting it again and again would take for ever.
  collectGarbage();
  return getHeapStatistics().used_heap_size + Math.max(need, room / 20) <= room;
}

/** Collects all garbage, at once. (The inspector, which can be told to as well, does it later: the code that asked goes on meanwhile.) */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = process.getBuiltinModule('node:vm').runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof gc === 'function') gc();
}

function heapTooSmall(what: string): CofferError {
  const more = 2 ** Math.ceil(Math.log2((heapSize() / MIB) * 1.5));
  const advice =
    more * MIB < totalmem()
      ? `try it with NODE_OPTIONS=--max-old-space-size=${more}`
      : 'it takes a machine with more of it';
  return new CofferError('TOO_LARGE', `${what} needs more memory than this process may use (${size(heapSize())})`, {
    advice,
  });
}

function machineTooSmall(what: string): CofferError {
  return new CofferError('TOO_LARGE', `${what} needs more memory than there is left (${size(memoryLeft())})`, {
    advice: 'end other programs, or give it more',
  });
}

function size(bytes: number): string {
  return bytes < 1024 * MIB ? `${Math.round(bytes / MIB)} MiB` : `${(bytes / 1024 / MIB).toFixed(1)} GiB`;
}
