import { CofferError } from '../../errors.ts';
import type { Walked } from '../file/open.ts';
import type { RollbackMark } from '../file/sealed-file.ts';

/** A file that doesn't match its rollback mark. */
export interface Rollback {
  /**
   * `older`: an earlier generation; `cut`: frames are missing at its end; `other`: another file of
   * the same generation.
   */
  readonly how: 'older' | 'cut' | 'other';
  readonly seen: RollbackMark;
  readonly generation: bigint;
  readonly frames: number;
}

/**
 * Compares a file with its mark, whose link must be known. Returns undefined if the file is as it
 * was last seen, or has advanced since.
 */
export function rollbackOf(
  mark: RollbackMark | undefined,
  { header, links }: Pick<Walked, 'header' | 'links'>,
): Rollback | undefined {
  if (!mark || header.generation > mark.generation) return undefined;
  const found = { seen: mark, generation: header.generation, frames: links.length };
  if (header.generation < mark.generation) return { how: 'older', ...found };
  if (links.length < mark.frames) return { how: 'cut', ...found };
  return links[mark.frames - 1]?.equals(mark.link) ? undefined : { how: 'other', ...found };
}

/** Describes a rollback to users: what was found, and what was last seen. */
export function describeRollback({ how, seen, generation, frames }: Rollback): string {
  switch (how) {
    case 'older':
      return `an older copy was put back: found generation ${generation}, last seen ${seen.generation}`;
    case 'cut':
      return `steps were cut off its end: found ${frames} of its frames, last seen ${seen.frames}`;
    case 'other':
      return `another file was put in its place: generation ${generation} was last seen with other content`;
  }
}

/**
 * Returns the error for a file that doesn't match its mark; `what` is a text of
 * {@link describeRollback}.
 */
export function refuseRolledBack(fileId: string, what: string): CofferError {
  const advice = 'restore the newer one, or continue from this one with --accept-older';
  return new CofferError('ROLLED_BACK', `file ${fileId}: ${what}`, { advice });
}
