import { unpackSegment } from '../../envelope/segment.ts';
import type { Opened } from './open.ts';

/**
 * Is handed the lines of one segment after another, and told how many bytes of lines are to come behind them. Nobody else needs `spare`
 * lines: whoever is done with them may give their memory back, with {@link giveBack}.
 */
export type OnLines = (lines: Buffer, left: number, spare: boolean) => void;

/** Hands over the lines of what was opened. Throws `UNAUTHENTIC`, and what `onLines` throws. */
export function handLines(opened: Opened, onLines: OnLines): void {
  const onEach = countingDown(opened, onLines);
  for (const segment of opened.segments) onEach(unpackSegment(segment), segment.codec === 1);
}

/** Adds what is to come to the lines of what was opened, which must be handed on in order. */
export function countingDown({ segments }: Opened, onLines: OnLines): (lines: Buffer, spare: boolean) => void {
  let left = segments.reduce((sum, { plainLength }) => sum + plainLength, 0);
  return (lines, spare) => {
    left -= lines.length;
    onLines(lines, left, spare);
  };
}

/**
 * Gives the memory of lines back at once, which are empty then. The garbage collector is slow to see what lies outside its heap: of a
 * session of 100 MB it left another 35 MB lying.
 */
export function giveBack(lines: Buffer): void {
  // Small ones share their memory with others.
  if (lines.buffer instanceof ArrayBuffer && lines.buffer.byteLength <= lines.length + 1) lines.buffer.transfer(0);
}
