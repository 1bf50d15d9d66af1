import { basename, join } from 'node:path';
import { firstLink } from '../../../envelope/chain.ts';
import {
  decodeFrameHead,
  FRAME_HEAD_LENGTH,
  HEADER_LENGTH,
  type Header,
  presumeHeader,
} from '../../../envelope/format.ts';
import type { VaultKey } from '../../../envelope/key.ts';
import { headBelongs } from '../../../envelope/secrets.ts';
import { type CofferError, isCofferError } from '../../../errors.ts';
import { openReader, statsOf } from '../../../files/reader.ts';
import { isSystemError } from '../../../files/reason.ts';
import type { VaultDirectory } from '../../directory.ts';
import { readHeader } from '../../file/open.ts';
import { keptNames } from '../../file/quarantine.ts';
import { isFileId } from '../../lease.ts';

/**
 * Lists every sealed file of the vault. The session saved last comes after the other sessions:
 * without symbolic links it must stay the youngest.
 */
export function carrierPaths(place: VaultDirectory): string[] {
  const sessions = place.fileIds().map((fileId) => place.path(fileId));
  const saved = new Map(sessions.map((path) => [path, statsOf(path)?.mtimeMs ?? 0]));
  return [
    ...place.conflicting().map(({ path }) => path),
    ...sessions.sort((a, b) => (saved.get(a) ?? 0) - (saved.get(b) ?? 0)),
    ...quarantinedPaths(place),
    ...[place.seen].filter((path) => statsOf(path) !== undefined),
  ];
}

/** Lists the sealed files in quarantine. */
export function quarantinedPaths({ quarantine }: VaultDirectory): string[] {
  return keptNames(quarantine).map((name) => join(quarantine, name));
}

/**
 * Tells whether a file's header names the key `keyId`, or can't be read well enough to rule that
 * out. If `key` is passed, which must be that key, a file with a damaged header counts too if it
 * was sealed with it: it can be salvaged.
 */
export function mayCarry(path: string, keyId: string, key: VaultKey | undefined): boolean {
  const header = headerOf(path);
  if (!isCofferError(header)) return header.keyId === keyId;
  // A file without a coffer header, or a link or a pipe in a session's place, names no key.
  return header.code !== 'UNAUTHENTIC' || (key !== undefined && isSealedWith(path, key));
}

/** Tells whether a file would begin with a frame of this key if its header were intact. */
function isSealedWith(path: string, key: VaultKey): boolean {
  try {
    using reader = openReader(path);
    const bytes = reader.at(0, Math.min(reader.stamp.size, HEADER_LENGTH + FRAME_HEAD_LENGTH));
    const fileId = basename(path).slice(0, 32);
    const header = presumeHeader(bytes, key.id, isFileId(fileId) ? fileId : undefined);
    return headBelongs(key, firstLink(header), decodeFrameHead(bytes.subarray(HEADER_LENGTH)));
  } catch (error) {
    if (!isCofferError(error) && !isSystemError(error) && !(error instanceof RangeError)) throw error;
    return false; // too short, or not a frame
  }
}

/** Returns a file's header, or the error of reading it. */
export function headerOf(path: string): Header | CofferError {
  try {
    return readHeader(path, path);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error;
  }
}
