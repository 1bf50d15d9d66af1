import { CofferError } from '../../errors.ts';
import type { Walked } from '../file/open.ts';
import type { Mark } from '../file/sealed-file.ts';

/** What is there instead of what was seen. */
export interface Rollback {
  /** `older`: of an earlier generation; `cut`: frames are missing at its end; `other`: another file of the same generation. */
  readonly how: 'older' | 'cut' | 'other';
  readonly seen: Mark;
  readonly generation: bigint;
  readonly frames: number;
}

/** Compares a file with its mark, whose link must be known; undefined where it is as it was seen, or has gone on since. */
export function rollbackOf(
  mark: Mark | undefined,
  { header, links }: Pick<Walked, 'header' | 'links'>,
): Rollback | undefined {
  if (!mark || header.generation > mark.generation) return undefined;
  const found = { seen: mark, generation: header.generation, frames: links.length };
  if (header.generation < mark.generation) return { how: 'older', ...found };
  if (links.length < mark.frames) return { how: 'cut', ...found };
  return links[mark.frames - 1]?.equals(mark.link) ? undefined : { how: 'other', ...found };
}

/** Says for people what was seen of a file and what is there. */
export function describeRollback({ how, seen, generation, frames }: Rollback): string {
  switch (how) {
    case 'older':
      return `an older copy was put back: generation ${generation} is there, and ${seen.generation} was seen`;
    case 'cut':
      return `steps were cut off its end: ${frames} of its frames are there, and ${seen.frames} were seen`;
    case 'other':
      return `another file was put in its place: its generation, ${generation}, was seen with something else in it`;
  }
}

/** The error of a file that is not as it was seen, `what` in the words of {@link describeRollback}. */
export function refuseRolledBack(fileId: string, what: string): CofferError {
  const advice = 'restore the newer one, or go on from what is there with --accept-older';
  return new CofferError('ROLLED_BACK', `file ${fileId}: ${what}`, { advice });
}
