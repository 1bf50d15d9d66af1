import { lstatSync } from 'node:fs';
import { CofferError } from '../../src/errors.ts';
import { reasonOf } from '../../src/files/reason.ts';
import type { Stamp } from '../../src/files/replace/replace.ts';

/**
 * Runs a wrong way of saving, and reports its errors as coffer does: the reporting is not what is
 * wrong with it.
 */
export async function told(path: string, save: () => Promise<void>): Promise<Stamp> {
  try {
    await save();
    const { dev, ino, size } = lstatSync(path, { bigint: true });
    return { dev, ino, size: Number(size) };
  } catch (cause) {
    throw new CofferError('NOT_SAVED', `cannot write to ${path}: ${reasonOf(cause)}`, { cause });
  }
}
