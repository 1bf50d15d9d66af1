import { basename, matchesGlob, relative } from 'node:path';
import { z } from 'zod';
import { CofferError } from '../../../errors.ts';
import { Closed } from '../access/closed.ts';
import { isForModel, locate, type NamedPath, openFile, planAt, refuseOther, type Spot } from '../access/place.ts';
import { defineTool, pathInput, type Tool, type ToolScope } from '../tool.ts';
import { isBinary } from './read.ts';
import { stopped, walk } from './walk.ts';

/** Searches files for a text. */
export const searchFiles: Tool = defineTool({
  name: 'search_files',
  description:
    'Searches the files in a directory (default: the working directory) and its subdirectories for a text and returns each matching line as path:line: text. The text is matched literally; it is not a pattern. Set glob to search only files with matching names (*.ts, src/**/*.md). Skips .git, node_modules and binary files.',
  input: z.strictObject({
    text: z.string().min(1),
    path: pathInput.optional(),
    glob: z.string().min(1).optional(),
  }),
  async plan({ text, path = '.', glob }, place) {
    const spot = await locate(path, place);
    const names = glob === undefined ? '' : ` (${glob})`;
    const about = `search ${spot.shown}${names} for ${JSON.stringify(text)}`;
    return await planAt({ kind: 'read', spot, about }, place, async () => {
      if (spot.found === undefined) throw new CofferError('FAILED', `there is no file or directory ${spot.shown}`);
      if (!spot.found.isDirectory()) refuseOther(spot.found, spot.shown);
      return { run: async (signal) => ({ text: await search(spot, { text, glob }, place, signal), failed: false }) };
    });
  },
});

async function search(
  spot: Spot,
  { text, glob }: { text: string; glob: string | undefined },
  place: ToolScope,
  signal: AbortSignal,
): Promise<string> {
  const search = new Search(text, place, await Closed.in(place));
  if (spot.found?.isFile()) search.lookIn(spot, await search.read(spot));
  else {
    const late = performance.now() + place.commandTimeout;
    for await (const entry of walk(spot, place, { deep: true, closed: search.closed }, signal)) {
      if (performance.now() >= late) return `${search.found}${stopped(place)}`;
      if (entry.kind === 'file' && matches(relative(spot.path, entry.path), glob)) {
        if (entry.secret) search.skip();
        else await search.lookAt(entry);
      }
      if (search.isFull) break;
    }
  }
  return search.found;
}

/**
 * Tells whether a file matches a glob. A glob without a slash is matched against the name, as in
 * every other tool.
 */
function matches(path: string, glob: string | undefined): boolean {
  if (glob === undefined) return true;
  return matchesGlob(glob.includes('/') ? path : basename(path), glob);
}

/**
 * Longest line shown whole, in characters; of a longer one only the part around the match is shown.
 */
const LINE = 400;

/** Largest file that is searched, in bytes: a file is held in memory as a whole. */
const LARGEST = 64 * 1024 * 1024;

class Search {
  readonly closed: Closed;
  readonly #text: string;
  readonly #most: number;
  readonly #lines: string[] = [];
  #size = 0;
  #skipped = 0;
  isFull = false;

  constructor(text: string, place: ToolScope, closed: Closed) {
    this.#text = text;
    this.#most = place.maxToolOutput;
    this.closed = closed;
  }

  get found(): string {
    const rest = this.isFull ? '[there is more]\n' : '';
    const skipped = this.#skipped === 0 ? '' : `[files not searched: ${this.#skipped}]\n`;
    return `${this.#lines.join('') || '[nothing found]\n'}${rest}${skipped}`;
  }

  /** Searches one of many files; counts it as skipped if it can't be read. */
  async lookAt(file: NamedPath): Promise<void> {
    try {
      this.lookIn(file, await this.read(file));
    } catch (error) {
      if (!isForModel(error)) throw error;
      this.#skipped++;
    }
  }

  /** Counts a file as skipped. */
  skip(): void {
    this.#skipped++;
  }

  lookIn(file: NamedPath, text: string): void {
    let line = 1;
    for (let at = 0, seen = 0; ; ) {
      const found = text.indexOf(this.#text, at);
      if (found === -1) return;
      for (let end = text.indexOf('\n', seen); end !== -1 && end < found; end = text.indexOf('\n', seen)) {
        line++;
        seen = end + 1;
      }
      const next = text.indexOf('\n', found);
      this.#add(
        `${file.shown}:${line}: ${this.#shorten(text.slice(seen, next === -1 ? undefined : next), found - seen)}\n`,
      );
      if (this.isFull || next === -1) return;
      at = next + 1;
    }
  }

  #add(line: string): void {
    this.#size += Buffer.byteLength(line);
    if (this.#size > this.#most) this.isFull = true;
    else this.#lines.push(line);
  }

  #shorten(line: string, at: number): string {
    if (line.length <= LINE) return line.replace(/\r$/, '');
    const start = Math.max(0, at - LINE / 4);
    return `${start > 0 ? '…' : ''}${line.slice(start, start + LINE)}${start + LINE < line.length ? '…' : ''}`;
  }

  /**
   * Returns the text of a file; empty if it is binary. Throws like {@link openFile}, and `FAILED`
   * for a file that is too large.
   */
  async read(file: NamedPath): Promise<string> {
    await using handle = await openFile(file, this.closed);
    if ((await handle.stat()).size > LARGEST) {
      throw new CofferError('FAILED', `${file.shown} is too large to be searched`);
    }
    const bytes = await handle.readFile();
    return isBinary(bytes) ? '' : bytes.toString();
  }
}
