import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isWithin } from '../permissions.ts';
import { Closed } from './closed.ts';
import { secretOf } from './guarded.ts';
import { type NamedPath, openDirectory, reach } from './place.ts';
import type { Place } from './tool.ts';

/** Something in a directory. */
export interface Entry extends NamedPath {
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  /** Whether it usually holds a secret, and no rule allows reading that one. */
  readonly secret: boolean;
}

/**
 * Gives what is in a directory, sorted by name; with `deep` what is in the directories below as well, each behind its own entry. Links are given and
 * not followed. Passed over: what is closed to tools or denied to reading, and with `deep` the insides of `.git` and `node_modules`, and of what usually
 * holds a secret, unless `top` lies in it.
 * A directory below that can't be read is given and not entered. `shown` begins with that of `top`, but for `.`. Throws what the system says of `top`.
 */
export async function* walk(
  top: NamedPath,
  place: Place,
  options: { deep: boolean; closed?: Closed },
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  const closed = options.closed ?? (await Closed.in(place));
  const within = secretOf(top.path) !== undefined;
  for (const found of await namesIn(top, closed)) {
    signal.throwIfAborted();
    const path = join(top.path, found.name);
    const shown = top.shown === '.' ? found.name : join(top.shown, found.name);
    const entry = { path, shown, kind: kindOf(found), secret: !within && isKept(path, place) };
    if (place.denied?.some((denied) => isWithin(denied, path))) continue;
    if (entry.kind === 'directory' && (await closed.why(path)) !== undefined) continue;
    if (closed.paths.includes(path)) continue;
    yield entry;
    if (!options.deep || entry.kind !== 'directory' || entry.secret || LARGE.has(found.name)) continue;
    yield* below(entry, place, { deep: true, closed }, signal);
  }
}

/** Says that a walk took as long as a command may: a whole disk has no end. */
export function stopped(place: Place): string {
  return `[stopped after ${place.commandTimeout / 1000} s; there is more]\n`;
}

function isKept(path: string, { granted }: Place): boolean {
  return secretOf(path) !== undefined && granted?.read.some((scope) => isWithin(scope, path)) !== true;
}

/** What is in them is not what somebody looks for, and there is much of it. */
const LARGE: ReadonlySet<string> = new Set(['.git', 'node_modules']);

async function* below(...[top, place, options, signal]: Parameters<typeof walk>): AsyncGenerator<Entry> {
  try {
    yield* walk(top, place, options, signal);
  } catch (error) {
    // Not ours to read, or gone by now: the rest can be looked at all the same.
    if (!['EACCES', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

async function namesIn(directory: NamedPath, closed: Closed): Promise<Dirent[]> {
  await using handle = await openDirectory(directory, closed);
  const found = await readdir(reach(handle, directory.path), { withFileTypes: true });
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function kindOf(found: Dirent): Entry['kind'] {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  return found.isSymbolicLink() ? 'link' : 'other';
}
