import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { isGuarded, isSecret, plainName } from '../tools/guarded.ts';

/** What a directory has that needs care, at any depth. Links are not followed. */
export interface Survey {
  /** What other programs run, by its path: the identity it has. Of a `.git` directory, the parts of it that run something. */
  readonly guarded: ReadonlyMap<string, string>;
  /** Files and directories that usually hold a secret. */
  readonly secrets: readonly string[];
  /** Directories that could not be looked into. */
  readonly unseen: readonly string[];
}

/** Looks through a directory and all below it. `left` are directories that a command can't see, and that are left out. */
export async function survey(directory: string, left: readonly string[]): Promise<Survey> {
  const found = new Found(new Set(left));
  await found.lookIn(directory, directory.split(sep).map(plainName));
  return found;
}

/** Identifies a file for as long as it exists. A new one may get the number of one that was deleted, but not its time of birth. */
export async function identify(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs, nlink, ctimeNs, mode } = await lstat(path, { bigint: true });
    // One with a second name can be changed by that.
    const change = nlink > 1n && (mode & 0o170_000n) === 0o100_000n ? `:${ctimeNs}` : '';
    return `${dev}:${ino}:${birthtimeNs}${change}`;
  } catch {
    return undefined; // gone since it was listed, or not ours to look at
  }
}

/** The parts of a repository that run something, or that say where those parts are. */
const PARTS: readonly string[] = ['config', 'config.worktree', 'hooks', 'commondir', 'gitdir'];

class Found implements Survey {
  readonly guarded: Map<string, string> = new Map();
  readonly secrets: string[] = [];
  readonly unseen: string[] = [];
  readonly #left: ReadonlySet<string>;
  readonly #visited: Set<string> = new Set();

  constructor(left: ReadonlySet<string>) {
    this.#left = left;
  }

  /** One directory after another: a command waits for it anyway, and the threads are for all of coffer. */
  async lookIn(directory: string, names: readonly string[]): Promise<void> {
    const entries = await this.#entries(directory);
    // A bare repository lies open: git takes any directory for one that has these, and believes its configuration.
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

  /** A repository has those of its submodules and work trees in it, wherever their names put them. */
  async #lookInRepository(path: string): Promise<void> {
    for (const entry of await this.#entries(path)) {
      const below = join(path, entry.name);
      if (PARTS.includes(plainName(entry.name))) await this.#guard(below);
      else if (entry.isDirectory() && !DATA.has(entry.name)) await this.#lookInRepository(below);
    }
  }

  /** What a link leads to needs the same care, and so does the repository that a `.git` file names. */
  async #guard(path: string, isGit = false): Promise<void> {
    const identity = await identify(path);
    if (identity === undefined || this.guarded.has(path)) return;
    this.guarded.set(path, identity);
    const real = await realpath(path).catch(() => path); // a link to nothing, or in a circle
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
    } catch {
      this.unseen.push(directory); // not ours to read, or too deep for a path
      return [];
    }
  }
}

/** Directories of a repository that hold its history alone, and much of it. */
const DATA: ReadonlySet<string> = new Set(['objects', 'refs', 'logs', 'lfs', 'rr-cache', 'info']);

/**
 * Tells whether a path is a part of a repository that runs something, whatever the repository is called: a bare one, or one that a `.git`
 * elsewhere leads to.
 */
export async function isInRepository(path: string): Promise<boolean> {
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    if (!PARTS.includes(plainName(basename(at)))) continue;
    const names = await readdir(dirname(at)).catch((): string[] => []); // what can't be read, git can't either
    if (BARE.every((name) => names.includes(name)) || ['HEAD', 'commondir'].every((name) => names.includes(name)))
      return true;
  }
  return false;
}

/** What a directory has that git takes for a repository. */
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
