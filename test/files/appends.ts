import { FileEnd } from '../../src/files/append.ts';
import type { Stamp } from '../../src/files/replace/replace.ts';

/** Opens the end of a file, appends once and closes it. */
export async function appendOnce(path: string, at: Stamp, bytes: Uint8Array): Promise<Stamp> {
  using end = new FileEnd(path, at);
  return await end.append(bytes);
}

/** Like {@link appendOnce}, but synchronous. */
export function appendOnceSync(path: string, at: Stamp, bytes: Uint8Array): Stamp {
  using end = new FileEnd(path, at);
  return end.appendSync(bytes);
}
