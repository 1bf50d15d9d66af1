import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isWithin } from '../../permissions.ts';
import { Closed } from '../access/closed.ts';
import { secretOf } from '../access/guarded.ts';
import { type NamedPath, openDirectory, reach } from '../access/place.ts';
import type { ToolScope } from '../tool.ts';

/** An entry of a directory. */
export interface Entry extends NamedPath {
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  /** Whether it usually holds a secret that no rule allows reading. */
  readonly secret: boolean;
}

/**
 * Yields the entries of a directory, sorted by name; with `deep` also those of its subdirectories,
 * each after its own entry. Links are yielded but not followed. Skips paths that are closed to
 * tools or denied for reading. `deep` does not enter `.git` and `node_modules`, directories that
 * usually hold a secret (unless `top` is in one), and directories that can't be read. `shown`
 * starts with that of `top`, unless that is `.`. Throws system errors for `top`.
 */
export async function* walk(
  top: NamedPath,
  place: ToolScope,
  options: { deep: boolean; closed?: Closed },
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  const closed = options.closed ?? (await Closed.in(place));
  const within = secretOf(top.path) !== undefined;
  for (const found of await namesIn(top, closed)) {
    signal.throwIfAborted();
    const path = join(top.path, found.name);
    const shown = top.shown === '.' ? found.name : join(top.shown, found.name);
    const entry = { path, shown, kind: kindOf(found), secret: !within && isUngrantedSecret(path, place) };
    if (place.denied?.some((denied) => isWithin(denied, path))) continue;
    if (entry.kind === 'directory' && (await closed.why(path)) !== undefined) continue;
    if (closed.paths.includes(path)) continue;
    yield entry;
    if (!options.deep || entry.kind !== 'directory' || entry.secret || LARGE.has(found.name)) continue;
    yield* below(entry, place, { deep: true, closed }, signal);
  }
}

/**
 * Returns the note for a walk that reached the time limit of a command: a whole disk would take too
 * long.
 */
export function stopped(place: ToolScope): string {
  return `[stopped after ${place.commandTimeout / 1000} s; there is more]\n`;
}

function isUngrantedSecret(path: string, { granted }: ToolScope): boolean {
  return secretOf(path) !== undefined && granted?.read.some((scope) => isWithin(scope, path)) !== true;
}

/** Large directories that a search is not about. */
const LARGE: ReadonlySet<string> = new Set(['.git', 'node_modules']);

async function* below(...[top, place, options, signal]: Parameters<typeof walk>): AsyncGenerator<Entry> {
  try {
    yield* walk(top, place, options, signal);
  } catch (error) {
    // Not readable, or gone by now: the rest can still be walked.
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
