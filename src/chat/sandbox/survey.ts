import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { isGuarded, isSecret, plainName } from '../tools/access/guarded.ts';

/** The paths to protect in a directory, at any depth. Links are not followed. */
export interface Survey {
  /**
   * Files that other programs run: path → identity. Of a `.git` directory, only the parts that run
   * something.
   */
  readonly guarded: ReadonlyMap<string, string>;
  /** Files and directories that usually hold a secret. */
  readonly secrets: readonly string[];
  /** Directories that could not be looked into. */
  readonly unseen: readonly string[];
}

/**
 * Surveys a directory and everything below it, except the directories in `left`, which a command
 * can't see.
 */
export async function survey(directory: string, left: readonly string[]): Promise<Survey> {
  const found = new Findings(new Set(left));
  await found.lookIn(directory, directory.split(sep).map(plainName));
  return found;
}

/**
 * Identifies a file for as long as it exists. A new file may get the inode number of a deleted one,
 * but not its birth time.
 */
export async function identify(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs, nlink, ctimeNs, mode } = await lstat(path, { bigint: true });
    // A file with a second name can be changed through that.
    const change = nlink > 1n && (mode & 0o170_000n) === 0o100_000n ? `:${ctimeNs}` : '';
    return `${dev}:${ino}:${birthtimeNs}${change}`;
  } catch {
    return undefined; // gone since it was listed, or not accessible
  }
}

/** The parts of a repository that run something, or that say where those parts are. */
const PARTS: readonly string[] = ['config', 'config.worktree', 'hooks', 'commondir', 'gitdir'];

class Findings implements Survey {
  readonly guarded: Map<string, string> = new Map();
  readonly secrets: string[] = [];
  readonly unseen: string[] = [];
  readonly #left: ReadonlySet<string>;
  readonly #visited: Set<string> = new Set();

  constructor(left: ReadonlySet<string>) {
    this.#left = left;
  }

  /**
   * One directory after another: the command waits for it anyway, and all of coffer shares the
   * thread pool.
   */
  async lookIn(directory: string, names: readonly string[]): Promise<void> {
    const entries = await this.#entries(directory);
    // A bare repository: git takes any directory with these names for one, and trusts its
    // configuration.
    if (BARE.every((name) => entries.some((entry) => entry.name === name))) await this.#lookInRepository(directory);
    for (const entry of entries) {
      const path = join(directory, entry.name);
      const name = plainName(entry.name);
      const isDirectory = entry.isDirectory();
      if (this.#left.has(path)) continue;
      if (name === '.git' && isDirectory) {
        await this.#lookInRepository(path);
        continue;
      }
      if (isSecret(name, names, !isDirectory)) this.secrets.push(path);
      if (isGuarded(name, names)) await this.#guard(path, name === '.git');
      else if (isDirectory) await this.lookIn(path, [...names, name]);
    }
  }

  /**
   * A repository contains those of its submodules and work trees, at paths that depend on their
   * names.
   */
  async #lookInRepository(path: string): Promise<void> {
    for (const entry of await this.#entries(path)) {
      const below = join(path, entry.name);
      if (PARTS.includes(plainName(entry.name))) await this.#guard(below);
      else if (entry.isDirectory() && !DATA.has(entry.name)) await this.#lookInRepository(below);
    }
  }

  /** Guards the target of a link as well, and the repository that a `.git` file names. */
  async #guard(path: string, isGit = false): Promise<void> {
    const identity = await identify(path);
    if (identity === undefined || this.guarded.has(path)) return;
    this.guarded.set(path, identity);
    const real = await realpath(path).catch(() => path); // a dangling link, or a loop
    if (real !== path && !isGit) await this.#guard(real);
    const target = isGit ? await gitTarget(real) : undefined;
    if (target !== undefined && !this.#visited.has(target)) {
      this.#visited.add(target);
      await this.#lookInRepository(target);
    }
  }

  async #entries(directory: string): Promise<Dirent[]> {
    try {
      return await readdir(directory, { withFileTypes: true });
    } catch (error) {
      // Gone meanwhile: there is nothing to guard. Else not readable, or too deep for a path.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.unseen.push(directory);
      return [];
    }
  }
}

/** Directories of a repository that hold only its history, and may be large. */
const DATA: ReadonlySet<string> = new Set(['objects', 'refs', 'logs', 'lfs', 'rr-cache', 'info']);

/**
 * Tells whether a path is a part of a repository that runs something, whatever the repository is
 * called: a bare one, or one that a `.git` elsewhere leads to.
 */
export async function isInRepository(path: string): Promise<boolean> {
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    if (!PARTS.includes(plainName(basename(at)))) continue;
    const names = await readdir(dirname(at)).catch((): string[] => []); // git can't read it either
    if (BARE.every((name) => names.includes(name)) || ['HEAD', 'commondir'].every((name) => names.includes(name)))
      return true;
  }
  return false;
}

/** The entries of a directory that git takes for a repository. */
const BARE: readonly string[] = ['HEAD', 'objects', 'refs'];

/** The repository that `.git` leads to, as a link or as a file that names it. */
async function gitTarget(real: string): Promise<string | undefined> {
  try {
    const found = await lstat(real);
    if (found.isDirectory()) return real;
    if (!found.isFile() || found.size > 4096) return undefined;
    const target = /^gitdir: (.+)$/m.exec(await readFile(real, 'utf8'))?.[1];
    return target === undefined ? undefined : await realpath(resolve(dirname(real), target));
  } catch {
    return undefined; // it leads nowhere
  }
}
