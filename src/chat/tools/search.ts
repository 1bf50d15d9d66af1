import { basename, matchesGlob, relative } from 'node:path';
import { z } from 'zod';
import { CofferError } from '../../errors.ts';
import { Closed } from './closed.ts';
import { isForModel, locate, type NamedPath, openFile, planAt, refuseOther, type Spot } from './place.ts';
import { isBinary } from './read.ts';
import { defineTool, type Place, pathInput, type Tool } from './tool.ts';
import { stopped, walk } from './walk.ts';

/** Looks for a text in files. */
export const searchFiles: Tool = defineTool({
  name: 'search_files',
  description:
    'Looks for a text in the files of a directory and all below, the working directory unless told, and gives each line that has it as path:line: text. The text is taken as it is, it is not a pattern. With glob looks in files of such names only (*.ts, src/**/*.md). Passes over .git, node_modules and what is no text.',
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
  place: Place,
  signal: AbortSignal,
): Promise<string> {
  const search = new Search(text, place, await Closed.in(place));
  if (spot.found?.isFile()) search.lookIn(spot, await search.read(spot));
  else {
    const late = performance.now() + place.commandTimeout;
    for await (const entry of walk(spot, place, { deep: true, closed: search.closed }, signal)) {
      if (performance.now() >= late) return `${search.found}${stopped(place)}`;
      if (entry.kind === 'file' && isMeant(relative(spot.path, entry.path), glob)) {
        if (entry.secret) search.passOver();
        else await search.lookAt(entry);
      }
      if (search.isFull) break;
    }
  }
  return search.found;
}

/** A glob without a slash is about names, as in every other tool. */
function isMeant(path: string, glob: string | undefined): boolean {
  if (glob === undefined) return true;
  return matchesGlob(glob.includes('/') ? path : basename(path), glob);
}

/** A line of which more than this is there is shown around what was looked for. */
const LINE = 400;

/** A larger file is not looked into: it would be held in memory as a whole. */
const LARGEST = 64 * 1024 * 1024;

class Search {
  readonly closed: Closed;
  readonly #text: string;
  readonly #most: number;
  readonly #lines: string[] = [];
  #size = 0;
  #passed = 0;
  isFull = false;

  constructor(text: string, place: Place, closed: Closed) {
    this.#text = text;
    this.#most = place.maxToolOutput;
    this.closed = closed;
  }

  get found(): string {
    const rest = this.isFull ? '[there is more]\n' : '';
    const passed = this.#passed === 0 ? '' : `[files that could not be looked into: ${this.#passed}]\n`;
    return `${this.#lines.join('') || '[nothing found]\n'}${rest}${passed}`;
  }

  /** Looks into one of many files; what can't be read is counted. */
  async lookAt(file: NamedPath): Promise<void> {
    try {
      this.lookIn(file, await this.read(file));
    } catch (error) {
      if (!isForModel(error)) throw error;
      this.#passed++;
    }
  }

  /** Counts a file that is not looked into. */
  passOver(): void {
    this.#passed++;
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

  /** The text of a file, empty for what has none. Throws as {@link openFile}, and `FAILED` for what is too large. */
  async read(file: NamedPath): Promise<string> {
    await using handle = await openFile(file, this.closed);
    if ((await handle.stat()).size > LARGEST) {
      throw new CofferError('FAILED', `${file.shown} is too large to be searched`);
    }
    const bytes = await handle.readFile();
    return isBinary(bytes) ? '' : bytes.toString();
  }
}
