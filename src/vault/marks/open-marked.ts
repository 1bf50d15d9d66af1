import type { VaultDirectory } from '../directory.ts';
import { type OpenedFile, openSealedFile } from '../file/open.ts';
import type { Unlocked } from '../keys/options.ts';
import { type Rollback, rollbackOf } from './rollback.ts';
import type { Seen } from './seen.ts';

/**
 * Opens and verifies a whole sealed file, and compares it with its rollback mark. Reads the mark
 * before the file: a save that another process makes in between must not look older than its mark.
 * Throws as {@link openSealedFile}.
 */
export function openMarked(
  place: VaultDirectory,
  seen: Seen,
  unlocked: Unlocked,
  fileId: string,
): { opened: OpenedFile; rollback: Rollback | undefined } {
  const mark = seen.read(unlocked).lines.find(fileId);
  const opened = openSealedFile(place.path(fileId), fileId, unlocked.key, unlocked.retiring);
  return { opened, rollback: rollbackOf(mark, opened) };
}
