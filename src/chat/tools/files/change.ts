import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CofferError } from '../../../errors.ts';
import { Closed } from '../access/closed.ts';
import { locate, openDirectory, openFile, reach, refuseOther, type Spot } from '../access/place.ts';
import type { ToolPlan, ToolScope } from '../tool.ts';
import { diffOf } from './diff.ts';

/** The parts of a plan that describe and make a change. */
export type FileChange = Required<Pick<ToolPlan, 'about' | 'detail' | 'run'>>;

/**
 * Reads the file at `spot`; undefined if there is none. Throws `FAILED` if it is not a regular
 * file, is closed to tools, or is larger than a tool may handle.
 */
export async function present(spot: Spot, place: ToolScope): Promise<Buffer | undefined> {
  if (spot.found === undefined) return undefined;
  refuseOther(spot.found, spot.shown);
  await using handle = await openFile(spot, await Closed.in(place));
  const { size } = await handle.stat();
  if (size <= place.maxToolOutput) return await handle.readFile();
  throw new CofferError(
    'FAILED',
    `${spot.shown} has ${size} bytes, more than the ${place.maxToolOutput} that a tool may handle`,
  );
}

/**
 * Plans to replace the contents of the file at `spot`. The diff is against its present contents.
 * Exactly what was approved is written: if the file has changed since, nothing is.
 */
export async function planChange(
  spot: Spot,
  before: Buffer | undefined,
  after: string,
  place: ToolScope,
): Promise<FileChange> {
  const { text, summary } = await diffOf(spot.shown, before, after);
  return {
    about: `${before === undefined ? 'create' : 'change'} ${spot.shown} (${summary})`,
    detail: text,
    async run() {
      const now = await locate(spot.path, place);
      const same = now.path === spot.path && sameBytes(await present(now, place), before);
      if (!same)
        throw new CofferError('FAILED', `${spot.shown} has changed since its diff was made`, {
          advice: 'nothing was written, read it again',
        });
      await replace(now, after, place);
      return { text: `${before === undefined ? 'created' : 'changed'} ${spot.shown} (${summary})\n`, failed: false };
    },
  };
}

/**
 * Replaces or creates a file atomically: writes it under a temporary name and renames it, so that
 * no reader sees half of it. An existing file keeps its mode and owner, a new one gets its mode
 * from the umask. The directory is accessed through its descriptor, so that a directory swapped in
 * at its path is not written to.
 */
async function replace(spot: Spot, text: string, place: ToolScope): Promise<void> {
  const parent = dirname(spot.path);
  await mkdir(parent, { recursive: true });
  await using directory = await openDirectory({ path: parent, shown: spot.shown }, await Closed.in(place));
  const at = reach(directory, parent);
  const temporary = join(at, `.${basename(spot.path)}.${randomBytes(8).toString('hex')}.tmp`);
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;
  try {
    await using handle = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666);
    await handle.writeFile(text);
    if (spot.found) await keepOwnership(spot.found, handle);
    await handle.sync();
    const target = join(at, basename(spot.path));
    // If it can't be inspected, the rename fails too.
    const there = await lstat(target).catch(() => undefined);
    if (there) refuseOther(there, spot.shown);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function keepOwnership(found: Stats, handle: FileHandle): Promise<void> {
  if (process.platform === 'win32') return;
  const own = await handle.stat();
  if (own.uid !== found.uid || own.gid !== found.gid) {
    try {
      await handle.chown(found.uid, found.gid);
    } catch (error) {
      // Only root can give files away. A writable file of another user becomes ours, as with any
      // editor.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    }
  }
  await handle.chmod(found.mode & 0o7777);
}

function sameBytes(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b);
}
