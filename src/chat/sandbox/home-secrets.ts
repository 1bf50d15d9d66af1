import type { Dirent } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { isSecret, plainName } from '../tools/access/guarded.ts';

/**
 * Lists what usually holds a secret in a home: by name, in the home itself and in the directories
 * below it, and the databases that KeePassXC had open last, wherever they are.
 */
export async function homeSecrets(home: string): Promise<string[]> {
  const names = home.split(sep).map(plainName);
  const top = await entries(home);
  const found = secretsIn(home, top, names);
  for (const entry of top.filter((each) => each.isDirectory())) {
    const path = join(home, entry.name);
    found.push(...secretsIn(path, await entries(path), [...names, plainName(entry.name)]));
  }
  for (const deep of DEEP) {
    const path = join(home, ...deep);
    found.push(...secretsIn(path, await entries(path), [...names, ...deep.map(plainName)]));
  }
  return [...found, ...(await databases(home))];
}

/** Directories more than one level deep in which programs keep their data. */
const DEEP: readonly (readonly string[])[] = [
  ['.local', 'share'],
  ['Library', 'Application Support'],
];

function secretsIn(directory: string, found: readonly Dirent[], names: readonly string[]): string[] {
  return found
    .filter((entry) => isSecret(plainName(entry.name), names, !entry.isDirectory()))
    .map((entry) => join(directory, entry.name));
}

async function databases(home: string): Promise<string[]> {
  const files = ['.config', '.cache'].map((folder) => join(home, folder, 'keepassxc', 'keepassxc.ini'));
  // Missing if KeePassXC is not used.
  const texts = await Promise.all(files.map((path) => readFile(path, 'utf8').catch(() => '')));
  return texts.flatMap((text) => [...text.matchAll(/\/[^,"\n]+\.kdbx?/g)].map(([path]) => resolve(path)));
}

async function entries(directory: string): Promise<Dirent[]> {
  // missing, or not accessible
  return await readdir(directory, { withFileTypes: true }).catch(() => []);
}
