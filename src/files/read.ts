import { CofferError } from '../errors.ts';
import { openReader } from './reader.ts';
import type { Stamp } from './replace.ts';

/** Reads a whole file of at most `limit` bytes, with the rules of {@link openReader}; `bytes` is the caller's. */
export async function readWhole(
  path: string,
  limit: number = Number.MAX_SAFE_INTEGER,
): Promise<{ bytes: Buffer; stamp: Stamp }> {
  using reader = openReader(path);
  const { stamp } = reader;
  if (stamp.size > limit) {
    throw new CofferError('FAILED', `${path} has ${stamp.size} bytes, more than the ${limit} it may have`);
  }
  return { bytes: reader.at(0, stamp.size), stamp };
}
