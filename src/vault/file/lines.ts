import { unpackSegment } from '../../envelope/segment.ts';
import type { OpenedFile } from './open.ts';

/**
 * Receives the lines of one segment after another, and the number of bytes of lines still to come.
 * If `spare`, nothing else uses the buffer: the receiver may free it with {@link giveBack}.
 */
export type OnLines = (lines: Buffer, left: number, spare: boolean) => void;

/**
 * Passes the lines of an opened file to `onLines`. Throws `UNAUTHENTIC`, and what `onLines` throws.
 */
export function handLines(opened: OpenedFile, onLines: OnLines): void {
  const onEach = countingDown(opened, onLines);
  for (const segment of opened.segments) onEach(unpackSegment(segment), segment.codec === 1);
}

/**
 * Wraps `onLines` for lines of an opened file, which must arrive in order: adds the number of bytes
 * still to come.
 */
export function countingDown({ segments }: OpenedFile, onLines: OnLines): (lines: Buffer, spare: boolean) => void {
  let left = segments.reduce((sum, { plainLength }) => sum + plainLength, 0);
  return (lines, spare) => {
    left -= lines.length;
    onLines(lines, left, spare);
  };
}

/**
 * Frees the memory of lines at once, leaving them empty. The garbage collector is slow to notice
 * memory outside its heap: a resume of 100 MB takes 350 MiB at most, and 420 MiB without this.
 */
export function giveBack(lines: Buffer): void {
  // Small buffers share their memory with others.
  if (lines.buffer instanceof ArrayBuffer && lines.buffer.byteLength <= lines.length + 1) lines.buffer.transfer(0);
}
