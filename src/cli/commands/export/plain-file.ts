import { closeSync, lstatSync, openSync, realpathSync, rmSync, type Stats } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { CofferError } from '../../../errors.ts';
import { fsync } from '../../../files/descriptor/aside.ts';
import { writeAll } from '../../../files/descriptor/write.ts';
import { Draft } from '../../../files/replace/draft.ts';

/** The destination of an unencrypted file. */
export interface PlainTarget {
  readonly path: string;
  /** Asked where something already exists; without it that is refused. */
  readonly mayReplace?: ((question: string) => Promise<boolean>) | undefined;
  /** Replaces an existing file without asking. */
  readonly force?: boolean | undefined;
  /** The vault directory, which must not contain unencrypted files. */
  readonly vault: string;
}

/**
 * Writes a text, piece by piece, into a file that only this user can read. An existing file is
 * replaced by renaming a new one over it, so that it is complete at any time; a symbolic link is
 * replaced itself, and never written through. Returns the absolute path. Throws `FAILED`, and
 * `USAGE` without a name.
 */
export async function writePlain(target: PlainTarget, text: Iterable<string>): Promise<string> {
  if (target.path === '') throw new CofferError('USAGE', 'a file needs a name', { advice: 'nothing is written' });
  const path = resolve(target.path);
  refuseVault(path, target.vault);
  try {
    if (await create(path, text)) return path;
    await requireReplaceable(path, target);
    await replace(path, text);
    return path;
  } catch (cause) {
    const { errno } = cause as NodeJS.ErrnoException;
    if (cause instanceof CofferError || errno === undefined) throw cause;
    const isGone = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isGone ? `there is no directory ${dirname(path)}` : getSystemErrorMessage(errno);
    throw new CofferError('FAILED', `cannot write ${path}: ${why}`, { cause });
  }
}

/**
 * Creates a file with O_EXCL, so that it never writes to an existing file or link. Returns whether
 * it was created; removes a file that could not be written completely.
 */
async function create(path: string, text: Iterable<string>): Promise<boolean> {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  try {
    await write(file, text);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  return true;
}

async function replace(path: string, text: Iterable<string>): Promise<void> {
  const draft = new Draft(path);
  try {
    draft.finish(await write(draft.file, text));
    draft.rename();
  } catch (error) {
    draft.discard();
    throw error;
  }
}

/** Writes and flushes the text. Returns its length in bytes. */
async function write(file: number, text: Iterable<string>): Promise<number> {
  let length = 0;
  for (const piece of text) length = await writeAll(file, [Buffer.from(piece)], length);
  await fsync(file);
  return length;
}

async function requireReplaceable(path: string, { mayReplace, force }: PlainTarget): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isFile() && !found.isSymbolicLink()) {
    throw new CofferError('FAILED', `${path} is ${kindOf(found)}`, { advice: 'choose another name' });
  }
  if (force === true) return;
  const what = found.isSymbolicLink() ? 'is a symbolic link' : 'already exists';
  if (mayReplace === undefined) {
    throw new CofferError('FAILED', `${path} ${what}`, { advice: 'choose another name, or use --force to replace it' });
  }
  const question = `${path} ${what}; replace ${found.isSymbolicLink() ? 'the link' : 'it'}? [y/N] `;
  if (!(await mayReplace(question))) throw new CofferError('CANCELLED', `${path} was left as it is`);
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a directory';
  return found.isFIFO() || found.isSocket() ? 'a pipe' : 'a device';
}

/**
 * Throws if the path is in the vault: it would lie among sealed files, or with `force` replace one.
 */
function refuseVault(path: string, vault: string): void {
  const root = realOf(vault);
  const inside = relative(root, join(realOf(dirname(path)), basename(path)));
  if (inside === '' || (inside !== '..' && !inside.startsWith(`..${sep}`) && resolve(root, inside).startsWith(root))) {
    throw new CofferError('FAILED', `${path} is in the vault, which must not contain unencrypted files`, {
      advice: 'choose another name',
    });
  }
}

function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return resolve(path); // a missing path can't be a link; writing reports what else is wrong
  }
}
