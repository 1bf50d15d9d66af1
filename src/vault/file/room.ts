import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
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

/**
 * V8's largest young generation by default: 64 MiB times three. `heap_size_limit` includes it, but
 * V8 gives up when long-lived objects have no room, however small the young generation is.
 */
const YOUNG = 192 * MIB;

/** Reads of fewer bytes are not checked. */
const SMALL = 32 * MIB;

/**
 * Checks that there is enough memory while one session is opened. The session may use a fixed share
 * of the heap: the rest belongs to the program around it. Counts what the heap has grown by since
 * the first check, so what the program holds or left as garbage before doesn't matter.
 */
export class Room {
  readonly #subject: string;
  /** The smallest heap seen since the first check, in bytes. */
  #base = Number.POSITIVE_INFINITY;
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
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    this.#base = Math.min(this.#base, used);
    const need = Math.max((bytes + left) * LEAST, bytes * GROWTH);
    if (used - this.#base + need > shareOf(limit)) throw heapTooSmall(this.#subject, limit);
    // Asking the system takes longer than reading a few lines.
    this.#asked -= bytes;
    if (this.#asked > 0) return;
    this.#asked = 8 * MIB;
    if (need > memoryLeft()) throw machineTooSmall(this.#subject);
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
 * Returns the share of a heap that one session may use: half of it without the young generation. A
 * heap that small by default has a smaller young generation.
 */
function shareOf(limit: number): number {
  return Math.max((limit - YOUNG) / 2, limit / 8);
}

function heapTooSmall(what: string, limit: number): CofferError {
  const more = 2 ** Math.ceil(Math.log2((limit / MIB) * 1.5));
  const advice =
    more * MIB < totalmem()
      ? `try again with NODE_OPTIONS=--max-old-space-size=${more}`
      : 'use a machine with more memory';
  const share = size(shareOf(limit));
  return new CofferError('TOO_LARGE', `${what} needs more memory than a session may use (${share})`, { advice });
}

function machineTooSmall(what: string): CofferError {
  return new CofferError('TOO_LARGE', `${what} needs more memory than is free (${size(memoryLeft())})`, {
    advice: 'close other programs, or add memory',
  });
}

function size(bytes: number): string {
  return bytes < 1024 * MIB ? `${Math.round(bytes / MIB)} MiB` : `${(bytes / 1024 / MIB).toFixed(1)} GiB`;
}
