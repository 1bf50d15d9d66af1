import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { CofferError } from '../../../errors.ts';
import { Closed } from '../access/closed.ts';
import { locate, openFile, planAt, refuseOther } from '../access/place.ts';
import { defineTool, pathInput, type Tool } from '../tool.ts';

/** Reads a text file, or some of its lines. */
export const readFile: Tool = defineTool({
  name: 'read_file',
  description:
    'Reads a text file. Set offset and limit to read only some of its lines. Paths are relative to the working directory; paths outside it need the permission of the user.',
  input: z.strictObject({
    path: pathInput,
    offset: z.int().min(1).optional().describe('the first line to read; lines count from 1'),
    limit: z.int().min(1).optional().describe('maximum number of lines to read'),
  }),
  async plan({ path, offset = 1, limit = Number.POSITIVE_INFINITY }, place) {
    const spot = await locate(path, place);
    return await planAt({ kind: 'read', spot, about: `read ${spot.shown}` }, place, async () => {
      if (spot.found === undefined) throw new CofferError('FAILED', `there is no file ${spot.shown}`);
      refuseOther(spot.found, spot.shown);
      return {
        async run(signal) {
          await using handle = await openFile(spot, await Closed.in(place));
          const read = await readLines(handle, { offset, limit, most: place.maxToolOutput }, signal);
          if (read.binary) throw new CofferError('FAILED', `${spot.shown} is not a text file`);
          return { text: describe(read, offset, (await handle.stat()).size), failed: false };
        },
      };
    });
  },
});

/** Tells whether the beginning of a file shows that it is not text. */
export function isBinary(start: Buffer): boolean {
  return start.subarray(0, 8192).includes(0);
}

interface Lines {
  readonly bytes: Buffer;
  readonly binary: boolean;
  /** The line in which reading stopped. */
  readonly line: number;
  /** Why it stopped before the end of the file. */
  readonly stopped?: 'limit' | 'size';
}

async function readLines(
  handle: FileHandle,
  { offset, limit, most }: { offset: number; limit: number; most: number },
  signal: AbortSignal,
): Promise<Lines> {
  const kept: Buffer[] = [];
  let size = 0;
  let line = 1;
  const chunk = Buffer.alloc(65_536);
  for (let first = true; ; first = false) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(chunk, 0, chunk.length);
    const bytes = chunk.subarray(0, bytesRead);
    if (first && isBinary(bytes)) return { bytes: Buffer.alloc(0), binary: true, line };
    for (let start = 0; start < bytes.length; ) {
      if (line >= offset + limit) return { bytes: Buffer.concat(kept), binary: false, line, stopped: 'limit' };
      const found = bytes.indexOf(10, start);
      const end = found === -1 ? bytes.length : found + 1;
      if (line >= offset) {
        const room = bytes.subarray(start, Math.min(end, start + most - size));
        kept.push(Buffer.from(room));
        size += room.length;
        if (room.length < end - start) return { bytes: Buffer.concat(kept), binary: false, line, stopped: 'size' };
      }
      start = end;
      if (found !== -1) line++;
    }
    if (bytesRead === 0) return { bytes: Buffer.concat(kept), binary: false, line };
  }
}

function describe({ bytes, line, stopped }: Lines, offset: number, size: number): string {
  const text = bytes.toString();
  if (stopped === 'limit') return `${text}[there is more, from line ${line} on]\n`;
  if (stopped === 'size') return `${text}\n[cut in line ${line} after ${bytes.length} bytes; the file has ${size}]\n`;
  if (size === 0) return '[the file is empty]\n';
  return bytes.length === 0 ? `[nothing from line ${offset} on: the file ends at line ${line}]\n` : text;
}
