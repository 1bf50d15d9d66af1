import { randomBytes } from 'node:crypto';
import { firstLink } from '../../envelope/chain.ts';
import { encodeHeader } from '../../envelope/format.ts';
import { sealFrame } from '../../envelope/seal.ts';
import { isCofferError } from '../../errors.ts';
import { dropCache, type FileState, isSameState, isSettled, stateOf, writeCache } from '../../files/replace/cache.ts';
import type { VaultDirectory } from '../directory.ts';
import { type OpenedFile, openExpected } from '../file/open.ts';
import { isCurrentKey } from '../keys/current-key.ts';
import type { Unlocked } from '../keys/options.ts';
import { decodeIds, encodeRows, type Known, Rows } from './columns.ts';
import type { Look } from './look.ts';

/*
 * `index` caches what the last lists found in each file, sealed like everything else, so that a
 * list only checks the state of ten thousand files instead of opening them. A row counts only for a
 * file in exactly the state that the row was made of. An unreadable cache, for whatever reason, is
 * treated as missing.
 */

/**
 * Maximum size in bytes, sealed and unpacked. A hundred thousand rows take 12 MB sealed and 45 MB
 * unpacked.
 */
const LIMIT = 64 * 1024 * 1024;
const PLAIN_LIMIT = 256 * 1024 * 1024;

/** Version of the content; a cache of any other version is ignored. */
const FORM = 1;

/** Up to this many rows are faster read from their files again than written. */
const FEW = 32;

/** Only the vault's current key: an index sealed with a retiring key is rebuilt. */
type CurrentKey = Pick<Unlocked, 'key'>;

/** The content of the list cache. */
export interface CachedList {
  readonly rows: Rows;
  /**
   * The state of `seen` that all rows were compared with; undefined if some marked file has no row
   * that matches its mark.
   */
  readonly seen: FileState | undefined;
}

/** The content of a missing cache. */
export const NOTHING_KEPT: CachedList = { rows: new Rows(), seen: undefined };

/**
 * The list cache on disk. Errors of the disk, or about the content of the file, are never thrown.
 */
export class ListIndex {
  readonly #place: VaultDirectory;
  #read: { state: FileState; keyId: string; kept: CachedList } | undefined;

  constructor(place: VaultDirectory) {
    this.#place = place;
  }

  /** Reads the cache, unless it is unchanged since the last read. */
  read(keys: CurrentKey): CachedList {
    const now = Date.now();
    const state = stateOf(this.#place.index);
    const { key } = keys;
    if (state && this.#read?.keyId === key.id && isSameState(state, this.#read.state)) return this.#read.kept;
    const kept = this.#open(keys, ({ segments }, seen) => ({ rows: new Rows(segments), seen })) ?? NOTHING_KEPT;
    this.#read = state && isSettled(state, now) ? { state, keyId: key.id, kept } : undefined;
    return kept;
  }

  /** Reads only the ids of the sessions, by file id. */
  readIds(keys: CurrentKey): ReadonlyMap<string, string> {
    return this.#open(keys, ({ segments }) => decodeIds(segments)) ?? new Map();
  }

  /**
   * Writes the results of a look if that pays off: if many files have no row yet, or files of some
   * rows are gone. `seen` is the state of the marks that the files were compared with, if these
   * could be read.
   *
   * Nothing that was removed may remain in the cache. A process that deletes a file, overwrites it
   * to remove words, or begins to rotate the key drops the caches afterwards. So if everything is
   * unchanged after our rename, any later change drops what we wrote; otherwise we drop it
   * ourselves.
   */
  update(keys: CurrentKey, look: Look, rows: Rows, seen: FileState | undefined): void {
    const isWorth = look.missing > Math.max(FEW, look.found.size / 100) || this.#hasGone(look, rows);
    if (!isWorth || !isCurrentKey(this.#place, keys.key.id)) return;
    const { known, isJudged } = look.kept();
    const isWritten = known.size > 0 && this.#write(keys, known, isJudged ? seen : undefined);
    const isTrue = isWritten && isCurrentKey(this.#place, keys.key.id) && this.#areAsKnown(known);
    if (!isTrue) dropCache(this.#place.index);
  }

  #hasGone({ inRows, found }: Look, rows: Rows): boolean {
    if (inRows === rows.size) return false;
    const isGone = (fileId: string): boolean => stateOf(this.#place.path(fileId)) === undefined;
    return [...rows.fileIds()].some((fileId) => !found.has(fileId) && isGone(fileId));
  }

  #write({ key }: CurrentKey, known: ReadonlyMap<string, Known>, seen: FileState | undefined): boolean {
    const header = encodeHeader({
      kind: 'index',
      keyId: key.id,
      fileId: randomBytes(16).toString('hex'),
      generation: 1n,
    });
    try {
      return writeCache(this.#place.index, () => {
        const summary = Buffer.from(JSON.stringify({ list: FORM, seen }));
        const content = { summary, segments: encodeRows(known, PLAIN_LIMIT) };
        const { bytes } = sealFrame(key, firstLink(header), content);
        if (bytes.length + header.length > LIMIT) throw new RangeError(`the list takes more than ${LIMIT} bytes`);
        return [header, bytes];
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return false; // a list this large is always read from the files
    }
  }

  #areAsKnown(known: ReadonlyMap<string, Known>): boolean {
    for (const [fileId, { state }] of known) {
      const now = stateOf(this.#place.path(fileId));
      if (!now || !isSameState(now, state)) return false;
    }
    return true;
  }

  /**
   * Returns undefined if the cache is missing, damaged, sealed with another key, too large or of
   * another version.
   */
  #open<T>({ key }: CurrentKey, decode: (opened: OpenedFile, seen: FileState | undefined) => T): T | undefined {
    try {
      const expected = { kind: 'index', fileId: undefined, limit: LIMIT } as const;
      const opened = openExpected(this.#place.index, expected, key);
      const plain = opened.segments.reduce((sum, { plainLength }) => sum + plainLength, 0);
      const { list, seen } = JSON.parse(opened.summary.toString()) as { list?: unknown; seen?: FileState };
      return plain > PLAIN_LIMIT || list !== FORM ? undefined : decode(opened, seen);
    } catch (error) {
      // TypeError, SyntaxError: another version of coffer wrote other content under the same
      // version number.
      if (!isCofferError(error) && !(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
      return undefined;
    }
  }
}
