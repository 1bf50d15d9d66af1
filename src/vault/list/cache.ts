import { randomBytes } from 'node:crypto';
import { firstLink } from '../../envelope/chain.ts';
import { encodeHeader } from '../../envelope/format.ts';
import { sealFrame } from '../../envelope/seal.ts';
import { isCofferError } from '../../errors.ts';
import { dropCache, type FileState, isSameState, isSettled, stateOf, writeCache } from '../../files/cache.ts';
import type { VaultDirectory } from '../directory.ts';
import { type Opened, openExpected } from '../file/open.ts';
import { isCurrentKey } from '../keys/current-key.ts';
import type { Unlocked } from '../keys/options.ts';
import { decodeIds, encodeRows, type Known, Rows } from './columns.ts';
import type { Look } from './look.ts';

/*
 * `index` keeps what the last lists found of each file, sealed like everything else, so that a list looks at ten thousand files instead
 * of opening them. It is a cache: a row of it counts for a file that is in the very state it was made of, and where it can't be read,
 * for whatever reason, it is as if it were not there.
 */

/** The most bytes that it has, sealed, and unpacked. A hundred thousand rows take 12 MB and 45 MB. */
const LIMIT = 64 * 1024 * 1024;
const PLAIN_LIMIT = 256 * 1024 * 1024;

/** The form of what is in it: in another one there is nothing to be found. */
const FORM = 1;

/** Fewer rows than this are sooner opened again than written. */
const FEW = 32;

/** Only with the vault's own key: an index that is sealed with a retiring one is made again. */
type Keys = Pick<Unlocked, 'key'>;

/** What is in it. */
export interface Kept {
  readonly rows: Rows;
  /** The state of the marks against rollback that all rows were compared with, where they are those of all marked files. */
  readonly seen: FileState | undefined;
}

/** What is in one that is not there. */
export const NOTHING_KEPT: Kept = { rows: new Rows(), seen: undefined };

/** What a list found before, on disk. Nothing here throws for the sake of the disk, or of what stands on it. */
export class ListIndex {
  readonly #place: VaultDirectory;
  #read: { state: FileState; keyId: string; kept: Kept } | undefined;

  constructor(place: VaultDirectory) {
    this.#place = place;
  }

  /** Reads it, unless it is as it was when it was read last. */
  read(keys: Keys): Kept {
    const now = Date.now();
    const state = stateOf(this.#place.index);
    const { key } = keys;
    if (state && this.#read?.keyId === key.id && isSameState(state, this.#read.state)) return this.#read.kept;
    const kept = this.#open(keys, ({ segments }, seen) => ({ rows: new Rows(segments), seen })) ?? NOTHING_KEPT;
    this.#read = state && isSettled(state, now) ? { state, keyId: key.id, kept } : undefined;
    return kept;
  }

  /** Reads only which session is in which file. */
  readIds(keys: Keys): ReadonlyMap<string, string> {
    return this.#open(keys, ({ segments }) => decodeIds(segments)) ?? new Map();
  }

  /**
   * Writes down what a look found where that is worth it: where many of its files are not in the rows it began with, or files of those
   * are gone. `seen` is the state of the marks that it compared the files with, where they could be read.
   *
   * What was removed must not be in it afterwards. Who removes a file, or overwrites it to remove words, or begins to rotate the key,
   * drops the caches behind that. So where all is still as it was behind the rename, whoever changes it from here on drops what we
   * have written; and where it is not, we do.
   */
  update(keys: Keys, look: Look, rows: Rows, seen: FileState | undefined): void {
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

  #write({ key }: Keys, known: ReadonlyMap<string, Known>, seen: FileState | undefined): boolean {
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
      return false; // so large a list is read from the files, as without a cache
    }
  }

  #areAsKnown(known: ReadonlyMap<string, Known>): boolean {
    for (const [fileId, { state }] of known) {
      const now = stateOf(this.#place.path(fileId));
      if (!now || !isSameState(now, state)) return false;
    }
    return true;
  }

  /** What is not there, not whole, not ours, too large or of another form has nothing to give. */
  #open<T>({ key }: Keys, decode: (opened: Opened, seen: FileState | undefined) => T): T | undefined {
    try {
      const expected = { kind: 'index', fileId: undefined, limit: LIMIT } as const;
      const opened = openExpected(this.#place.index, expected, key);
      const plain = opened.segments.reduce((sum, { plainLength }) => sum + plainLength, 0);
      const { list, seen } = JSON.parse(opened.summary.toString()) as { list?: unknown; seen?: FileState };
      return plain > PLAIN_LIMIT || list !== FORM ? undefined : decode(opened, seen);
    } catch (error) {
      // Of another version of coffer, in a form that only names itself like ours: TypeError, SyntaxError.
      if (!isCofferError(error) && !(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
      return undefined;
    }
  }
}
