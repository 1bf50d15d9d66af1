import { type Stats, statSync } from 'node:fs';
import { CofferError } from '../../errors.ts';
import { reasonOf } from '../../files/reason.ts';
import { type Access, canOthersWrite, type KnownVault } from './record/known.ts';

/**
 * Refuses a data directory that others can write to, unless the user accepted that: they could
 * replace everything in it. One that belongs to this user and has no vault in it is accepted: it is
 * made 0700 before anything is written. Throws `FAILED`.
 */
export function requireOurs(directory: string, { accepted }: KnownVault, isEmpty: boolean = false): void {
  const access = accessOf(directory);
  if (!access || !canOthersWrite(access)) return;
  if (isEmpty && access.uid === process.geteuid?.()) return;
  if (accepted?.uid === access.uid && accepted.mode === access.mode) return;
  const us = process.geteuid?.();
  const isOurs = access.uid === us || access.uid === 0;
  const reason = isOurs
    ? `others can write to it (mode ${access.mode.toString(8)})`
    : `it belongs to another user (uid ${access.uid})`;
  const mend = isOurs ? `chmod go-w ${directory}` : `chown it`;
  throw new CofferError('FAILED', `refused to open the vault in ${directory}`, {
    reason,
    advice: `${mend}, or accept it with coffer key trust`,
  });
}

/** Returns who can write to a directory; undefined if it isn't there. Throws `FAILED`. */
export function accessOf(directory: string): Access | undefined {
  let stats: Stats | undefined;
  try {
    stats = statSync(directory, { throwIfNoEntry: false });
  } catch (cause) {
    throw new CofferError('FAILED', `cannot examine ${directory}`, { reason: reasonOf(cause), cause });
  }
  return stats && { uid: stats.uid, mode: stats.mode & 0o777 };
}
