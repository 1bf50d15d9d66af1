import { join } from 'node:path';
import type { Header } from '../../envelope/format.ts';
import { type CofferError, isCofferError } from '../../errors.ts';
import { statsOf } from '../../files/reader.ts';
import type { VaultDirectory } from '../directory.ts';
import { readHeader } from '../open.ts';
import { keptNames } from '../quarantine.ts';

/** Lists every sealed file of the vault, the session saved last after the other sessions: without symbolic links it must stay the youngest. */
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

/** Tells whether a file's header names the key, or can't be read to rule that out. */
export function mayCarry(path: string, keyId: string): boolean {
  const header = headerOf(path);
  // A file without a coffer header names no key.
  return isCofferError(header) ? header.code !== 'UNAUTHENTIC' : header.keyId === keyId;
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
