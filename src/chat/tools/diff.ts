import { isBinary } from './read.ts';

/** A change as a person wants to see it: the unified diff, and how many lines come and go. */
export interface Difference {
  readonly text: string;
  readonly summary: string;
}

/** How long the search for the shortest diff may take, in milliseconds; two large files with little in common would take minutes. */
const PATIENCE = 1000;

/** Compares what a file has, if there is one, with what it would get. */
export async function diffOf(name: string, before: Buffer | undefined, after: string): Promise<Difference> {
  const size = `${Buffer.byteLength(after)} bytes`;
  if (before && isBinary(before)) {
    const summary = `${before.length} bytes that are no text become ${size}`;
    return { text: `${summary}:\n${after}`, summary };
  }
  const { structuredPatch, formatPatch, FILE_HEADERS_ONLY } = await import('diff');
  const from = before === undefined ? '/dev/null' : name;
  const patch = structuredPatch(from, name, before?.toString() ?? '', after, undefined, undefined, {
    timeout: PATIENCE,
  });
  if (patch === undefined) {
    const summary = `${before?.length ?? 0} bytes become ${size}, too different for a diff`;
    return { text: `${summary}:\n${after}`, summary };
  }
  const lines = patch.hunks.flatMap((hunk) => hunk.lines);
  const count = (sign: string): number => lines.filter((line) => line.startsWith(sign)).length;
  return { text: formatPatch(patch, FILE_HEADERS_ONLY), summary: `+${count('+')} -${count('-')}` };
}
