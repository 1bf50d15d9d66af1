/**
 * Calls `onLine` for each line, in order, with its start and its end (exclusive, without the line
 * feed). The last line may lack a line feed.
 */
export function eachLine(lines: Buffer, onLine: (start: number, end: number) => void): void {
  for (let start = 0; start < lines.length; ) {
    const end = endOfLine(lines, start);
    onLine(start, end);
    start = end + 1;
  }
}

/** Returns the end of the line that contains `from`: the index of its line feed, or the length. */
export function endOfLine(lines: Buffer, from: number): number {
  const end = lines.indexOf(LINE_FEED, from);
  return end === -1 ? lines.length : end;
}

/** The byte that ends each line. */
export const LINE_FEED: number = 10;
