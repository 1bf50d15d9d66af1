import { type FileSystems, networkFileSystem } from '../files/network.ts';

/** Says what may go wrong with a vault in that directory, where it is on a network file system. `systems` is for tests only. */
export function networkWarning(directory: string, systems?: FileSystems): string | undefined {
  const network = networkFileSystem(directory, systems);
  if (network === undefined) return undefined;
  const what = 'a lease may not keep another machine out, and what is flushed may not be on a disk';
  return `${directory} is on a network file system (${network}): ${what}; never use it from two machines at once`;
}
