import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { NewEvent } from '../src/session/event/event.ts';
import { type SearchHit, search, wantedText } from '../src/session/search/search.ts';
import { realistic } from '../test/support/vast.ts';
import { interleave, type Spread, spreadOf, type Task } from './measure.ts';
import type { Line, Measure, Part } from './part.ts';
import { bytesOf, type Filled, fillVault, keyOf, lineAgainst, MB, openFilled, pathOf, spreadAt } from './vaults.ts';
import { rawSegments } from './vaults-raw.ts';

const SESSIONS = { full: 1000, short: 200 };
const ROUNDS = { full: 9, short: 5 };
const WARM_UP = 1;
/** Bytes of plaintext in each session. */
const EACH = MB / 10;

/**
 * The search texts: one that occurs in every `every`-th session, one that occurs nowhere, one that
 * occurs everywhere.
 */
const RARE = { text: 'heliotrope gasket', every: 200 };
const NOWHERE = 'periwinkle flange';
const EVERYWHERE = 'function';

/**
 * Measures the cost of searching a vault for a text, with and without the index, next to the least
 * work that looks at all of it.
 */
export const measureSearches: Measure = async (folder, size) => {
  const sessions = SESSIONS[size];
  const filled = await fillVault(join(folder, 'vault'), { sessions, events: planted(realistic(EACH)) });
  const vault = new SearchedVault(filled);
  const spreads = await interleave(vault.tasks(), ROUNDS[size], WARM_UP);
  return partOf(vault, bytesOf(filled), spreads);
};

/** Adds the rare text to every session whose number `RARE.every` divides. */
function planted(events: (number: number) => NewEvent[]): (number: number) => NewEvent[] {
  return (number) => {
    const said = events(number);
    if (number % RARE.every !== 0) return said;
    const content = `the second pump is loud again\nis it the ${RARE.text}, or the seal beside it?`;
    return said.toSpliced(Math.floor(said.length / 2), 0, { type: 'message', message: { role: 'user', content } });
  };
}

/** A vault that is searched repeatedly; each search must return the same. */
class SearchedVault {
  readonly sessions: number;
  readonly #filled: Filled;
  readonly #caches: { readonly list: string; readonly texts: string };
  readonly #found = new Map<string, string>();
  readonly #waits: number[] = [];

  constructor(filled: Filled) {
    this.sessions = filled.fileIds.length;
    this.#filled = filled;
    this.#caches = { list: join(filled.directory, 'index'), texts: join(filled.directory, 'texts') };
  }

  /** The size of the text index in bytes; undefined if there is none. */
  get indexed(): number | undefined {
    return statSync(this.#caches.texts, { throwIfNoEntry: false })?.size;
  }

  /** The times of searches without an index, until they had written one. */
  get untilIndexed(): Spread {
    return spreadOf(this.#waits.slice(WARM_UP));
  }

  tasks(): Task[] {
    const rare = Math.ceil(this.sessions / RARE.every);
    const warm = (name: string, text: string, expected: number | undefined): Task => ({
      name,
      run: async () => {
        if (!existsSync(this.#caches.texts)) await this.#search(RARE.text, rare);
        return (await this.#search(text, expected)).answered;
      },
    });
    const without = (name: string, ...caches: readonly string[]): Task => ({
      name,
      run: async () => {
        for (const path of caches) rmSync(path, { force: true });
        const { answered, ended } = await this.#search(RARE.text, rare);
        if (name === 'cold') this.#waits.push(ended);
        return answered;
      },
    });
    return [
      { name: 'floor', run: () => this.#floor(RARE.text, rare) },
      without('cold', this.#caches.texts),
      without('coldest', this.#caches.texts, this.#caches.list),
      warm('warm', RARE.text, rare),
      warm('nowhere', NOWHERE, 0),
      warm('everywhere', EVERYWHERE, undefined),
    ];
  }

  /**
   * Searches through a separate object, as a new process would, the list included. Returns the
   * times until everything was found, and until the index was written.
   */
  async #search(text: string, expected: number | undefined): Promise<{ answered: number; ended: number }> {
    const sessions = await openFilled(this.#filled);
    const found: SearchHit[] = [];
    const start = performance.now();
    for await (const one of search(sessions, await sessions.list(), wantedText(text))) found.push(one);
    const answered = performance.now() - start;
    await sessions.close();
    const ended = performance.now() - start;
    this.#check(text, found, expected);
    return { answered, ended };
  }

  #floor(text: string, expected: number): number {
    const key = keyOf(this.#filled);
    const wanted = Buffer.from(text);
    let found = 0;
    const start = performance.now();
    for (const number of this.#filled.fileIds.keys()) {
      let isThere = false;
      for (const lines of rawSegments(pathOf(this.#filled, number), key)) isThere ||= lines.indexOf(wanted) !== -1;
      if (isThere) found++;
    }
    const time = performance.now() - start;
    if (found !== expected) throw new Error(`the floor found ${text} in ${found} sessions, not in ${expected}`);
    return time;
  }

  /**
   * Throws unless a search returns the same lines of the same sessions, with or without an index.
   */
  #check(text: string, found: readonly SearchHit[], expected: number | undefined): void {
    const unread = found.find((one) => 'error' in one);
    if (unread) throw new Error(`session ${unread.row.number} could not be searched`, { cause: unread.error });
    const shown = found.map((one) => [one.row.fileId, 'matches' in one ? one.matches : []]);
    const said = JSON.stringify(shown.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)));
    const known = this.#found.get(text) ?? said;
    this.#found.set(text, known);
    if (found.length !== (expected ?? found.length) || known !== said) {
      throw new Error(`${text} was found in ${found.length} sessions, not in ${expected}, or not as before`);
    }
  }
}

function partOf(
  vault: SearchedVault,
  { plain, sealed }: { plain: number; sealed: number },
  spreads: ReadonlyMap<string, Spread>,
): Part {
  const size = `${Math.round(plain / MB)} MB in ${vault.sessions} sessions`;
  const floor: Line = {
    id: 'search-floor',
    what: `${size} opened, decompressed, Buffer.indexOf`,
    value: spreadAt(spreads, 'floor'),
    unit: 'ms',
  };
  const line = (id: string, what: string, value: Spread): Line => lineAgainst(id, what, value, floor);
  const lines = [
    floor,
    line('search-cold', `search of ${size}, no text index`, spreadAt(spreads, 'cold')),
    line('search-coldest', 'the same without the cache of the list, too', spreadAt(spreads, 'coldest')),
    line('search-indexing', 'a search without an index, until it has written one', vault.untilIndexed),
    line('search-warm', `search of ${size}, index`, spreadAt(spreads, 'warm')),
    line('search-nowhere', 'search for a text that is nowhere, index', spreadAt(spreads, 'nowhere')),
    line('search-everywhere', 'search for a word in every session, index', spreadAt(spreads, 'everywhere')),
  ];
  const { indexed } = vault;
  if (indexed === undefined) return { lines, curves: [], notes: ['search: no index was written'] };
  const bytes: Line = {
    id: 'search-index',
    what: 'the index that a search writes',
    value: spreadOf([indexed / 2 ** 20]),
    unit: 'MiB',
    against: { what: 'the plaintext', ratio: indexed / plain },
  };
  const share = Math.round((100 * indexed) / sealed);
  return {
    lines: [...lines, bytes],
    curves: [],
    notes: [`search: the index is ${share} % of the size of the session files`],
  };
}
