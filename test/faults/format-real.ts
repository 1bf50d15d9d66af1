import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { unpackSegment } from '../../src/envelope/segment.ts';
import { openHead, openSealedFile } from '../../src/vault/file/open.ts';
import { key } from './format-attacks.ts';
import { type Attack, isReadByList, type Seen, seenOf } from './format-base.ts';

/** The results of coffer's two openers for a file. */
export interface Outcome {
  readonly seen: Seen | Error;
  /**
   * The contradiction between the quick look at the file and the full opening; undefined if they
   * agree.
   */
  readonly contradiction: string | undefined;
  /**
   * The list shows it although it does not open: the damage is in a part the list does not read.
   */
  readonly listed: boolean;
}

/**
 * A file that is overwritten repeatedly and kept open: ext4 would flush a file that is truncated
 * and rewritten.
 */
export class PlaceFile implements Disposable {
  readonly #file: number;
  #size = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
  }

  /** Replaces the content with these bytes. */
  put(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done, bytes.length - done, done);
    if (bytes.length < this.#size) ftruncateSync(this.#file, bytes.length);
    this.#size = bytes.length;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Coffer's own opener, on real files in the sessions' folder of a vault. */
export class RealOpener implements Disposable {
  readonly #sessions: string;
  readonly #files = new Map<string, PlaceFile>();

  constructor(folder: string) {
    this.#sessions = join(folder, 'vault', 'sessions');
    mkdirSync(this.#sessions, { recursive: true, mode: 0o700 });
  }

  /** Puts the attack in place and opens it, fully and as a list does. */
  open(attack: Attack): Outcome {
    const path = join(this.#sessions, attack.fileId);
    const file = this.#files.get(path) ?? new PlaceFile(path);
    this.#files.set(path, file);
    file.put(attack.bytes);
    const seen = caught(() => openWhole(path, attack.fileId));
    const head = caught(() => openHead(path, attack.fileId, key));
    return { seen, ...compare(attack, seen, head) };
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file[Symbol.dispose]();
  }
}

/** Opens a whole file and unpacks all its segments, as reading or resuming a session does. */
function openWhole(path: string, fileId: string): Seen {
  const { chain, summary, segments, torn } = openSealedFile(path, fileId, key);
  return seenOf(chain.index, summary, segments.map(unpackSegment), torn !== undefined);
}

/** Returns the result of a step, or the error it throws. */
export function caught<T>(step: () => T): T | Error {
  try {
    return step();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function compare(
  { base, at }: Attack,
  seen: Seen | Error,
  head: ReturnType<typeof openHead> | Error,
): Omit<Outcome, 'seen'> {
  if (seen instanceof Error) {
    if (head instanceof Error) return { contradiction: codeDiffers(seen, head), listed: false };
    if (base && !base.states.some(({ summary }) => summary === head.summary.toString('latin1'))) {
      return { contradiction: 'the list shows a summary that was never sealed', listed: true };
    }
    const isSeen = base && at !== undefined && isReadByList(base, at);
    return { contradiction: isSeen ? 'the list reads the damaged part and does not notice' : undefined, listed: true };
  }
  if (head instanceof Error) return { contradiction: `it opens, but the list says ${head.message}`, listed: false };
  const isSame = head.summary.toString('latin1') === seen.summary && (head.torn !== undefined) === seen.torn;
  return { contradiction: isSame ? undefined : 'the list shows something else', listed: true };
}

function codeDiffers(whole: Error, head: Error): string | undefined {
  const [a, b] = [codeOf(whole), codeOf(head)];
  return a === b ? undefined : `opening it says ${a}, and the list ${b}`;
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name;
}
