import { unpackSegment } from '../envelope/segment.ts';
import type { Opened } from './open.ts';

/** Is handed the lines of one segment after another, and told how many bytes of lines are to come behind them. */
export type OnLines = (lines: Buffer, left: number) => void;

/** Hands over the lines of what was opened. Throws `UNAUTHENTIC`, and what `onLines` throws. */
export function handLines(opened: Opened, onLines: OnLines): void {
  const onEach = countingDown(opened, onLines);
  for (const segment of opened.segments) onEach(unpackSegment(segment));
}

/** Adds what is to come to the lines of what was opened, which must be handed on in order. */
export function countingDown({ segments }: Opened, onLines: OnLines): (lines: Buffer) => void {
  let left = segments.reduce((sum, { plainLength }) => sum + plainLength, 0);
  return (lines) => {
    left -= lines.length;
    onLines(lines, left);
  };
}
