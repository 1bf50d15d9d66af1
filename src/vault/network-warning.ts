import { type FileSystems, networkFileSystem } from '../files/network.ts';

/**
 * Returns a warning if the vault directory is on a network file system, else undefined. `systems`
 * is for tests only.
 */
export function networkWarning(directory: string, systems?: FileSystems): string | undefined {
  const network = networkFileSystem(directory, systems);
  if (network === undefined) return undefined;
  const what = 'leases may not lock out other machines, and flushed data may not be on disk';
  return `${directory} is on a network file system (${network}): ${what}; never use it from two machines at once`;
}
