/** Calls `onLine` for each line, in order: where it begins and ends, its line feed left out. The last one may have none. */
export function eachLine(lines: Buffer, onLine: (start: number, end: number) => void): void {
  for (let start = 0; start < lines.length; ) {
    const end = endOfLine(lines, start);
    onLine(start, end);
    start = end + 1;
  }
}

/** Where a line ends that has a byte at `from`: at its line feed, or with all of them. */
export function endOfLine(lines: Buffer, from: number): number {
  const end = lines.indexOf(LINE_FEED, from);
  return end === -1 ? lines.length : end;
}

/** The byte behind every line. */
export const LINE_FEED: number = 10;
