import { isBinary } from './read.ts';

/**
 * A change as it is shown to the user: the unified diff, and the number of lines added and removed.
 */
export interface Difference {
  readonly text: string;
  readonly summary: string;
}

/**
 * Time limit of the search for the shortest diff, in milliseconds; two large files with little in
 * common would take minutes.
 */
const TIMEOUT = 1000;

/** Compares the contents of a file, if it exists, with its future ones. */
export async function diffOf(name: string, before: Buffer | undefined, after: string): Promise<Difference> {
  const size = `${Buffer.byteLength(after)} bytes`;
  if (before && isBinary(before)) {
    const summary = `${before.length} binary bytes become ${size}`;
    return { text: `${summary}:\n${after}`, summary };
  }
  const { structuredPatch, formatPatch, FILE_HEADERS_ONLY } = await import('diff');
  const from = before === undefined ? '/dev/null' : name;
  const patch = structuredPatch(from, name, before?.toString() ?? '', after, undefined, undefined, {
    timeout: TIMEOUT,
  });
  if (patch === undefined) {
    const summary = `${before?.length ?? 0} bytes become ${size}, too different for a diff`;
    return { text: `${summary}:\n${after}`, summary };
  }
  const lines = patch.hunks.flatMap((hunk) => hunk.lines);
  const count = (sign: string): number => lines.filter((line) => line.startsWith(sign)).length;
  return { text: formatPatch(patch, FILE_HEADERS_ONLY), summary: `+${count('+')} -${count('-')}` };
}
