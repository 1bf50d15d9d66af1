import { totalmem } from 'node:os';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { CofferError } from '../../errors.ts';
import { memoryLeft } from '../../files/memory.ts';

/*
 * V8 ends the process when its heap is full, and the kernel when its own memory is; neither can be
 * caught. So opening a session checks before each piece whether it still fits.
 */

const MIB = 1024 * 1024;

/**
 * Memory needed to read a line, as a multiple of its bytes: its text and what JSON.parse makes of
 * it, both of up to two bytes a character.
 */
const GROWTH = 4;

/**
 * Memory needed by even the most compact plaintext, as a multiple of its bytes: text written in
 * escapes becomes shorter.
 */
const LEAST = 0.4;

/** Heap kept free for work on the opened session, in addition to a sixteenth of the heap. */
const SPARE = 24 * MIB;

/** V8's young generation if the heap size is set explicitly; otherwise it is 3 parts of 67. */
const NURSERY = 192 * MIB;

/** Reads of fewer bytes are not checked. */
const SMALL = 32 * MIB;

/** Checks that there is enough memory while one session is opened. */
export class Room {
  readonly #subject: string;
  #asked = 0;

  /** `subject` is named in the error if there isn't enough memory. */
  constructor(subject: string) {
    this.#subject = subject;
  }

  /**
   * Makes sure that `bytes` more of plaintext can be read, with `left` bytes still to come after
   * them. Throws `TOO_LARGE`.
   */
  require(bytes: number, left: number): void {
    const room = heapSize() * (15 / 16) - SPARE;
    if ((bytes + left) * LEAST > room || !fitsHeap(bytes, room)) throw heapTooSmall(this.#subject);
    // Asking the system takes longer than reading a few lines.
    this.#asked -= bytes;
    if (this.#asked > 0) return;
    this.#asked = 8 * MIB;
    if (Math.max((bytes + left) * LEAST, bytes * GROWTH) > memoryLeft()) throw machineTooSmall(this.#subject);
  }
}

/**
 * Makes sure that this many bytes can be read into memory. Throws `TOO_LARGE`; the caller adds the
 * name of the file.
 */
export function requireMemory(bytes: number): void {
  if (bytes >= SMALL && bytes > memoryLeft()) throw machineTooSmall('it');
}

/**
 * Returns how large the heap may become without its young generation: V8 gives up when long-lived
 * objects have no room, however small the young generation is.
 */
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
  // Much of the used heap may be garbage. If collecting it frees little, give up: collecting again
  // and again would take forever.
  collectGarbage();
  return getHeapStatistics().used_heap_size + Math.max(need, room / 20) <= room;
}

/**
 * Collects all garbage synchronously. (The inspector can do it too, but later, while the caller
 * runs on.)
 */
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
      ? `try again with NODE_OPTIONS=--max-old-space-size=${more}`
      : 'use a machine with more memory';
  return new CofferError('TOO_LARGE', `${what} needs more memory than this process may use (${size(heapSize())})`, {
    advice,
  });
}

function machineTooSmall(what: string): CofferError {
  return new CofferError('TOO_LARGE', `${what} needs more memory than is free (${size(memoryLeft())})`, {
    advice: 'close other programs, or add memory',
  });
}

function size(bytes: number): string {
  return bytes < 1024 * MIB ? `${Math.round(bytes / MIB)} MiB` : `${(bytes / 1024 / MIB).toFixed(1)} GiB`;
}
