import { closeSync, fsync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Stamp } from '../../src/files/replace/replace.ts';
import { told } from './wrong-saves-told.ts';

/* Does everything in the right order, but does not check the results of the flushes. */

export * from '../../src/files/replace/replace.ts';

const flush = promisify(fsync);

/** Replaces coffer's own. */
export function replaceFile(path: string, parts: readonly Uint8Array[]): Promise<Stamp> {
  const temp = join(dirname(path), `.${basename(path)}.0123456789abcdef.tmp`);
  return told(path, async () => {
    try {
      const file = openSync(temp, 'w', 0o600);
      const whole = Buffer.concat(parts);
      for (let done = 0; done < whole.length; ) done += writeSync(file, whole, done);
      await flush(file).catch(() => undefined); // this is the fault
      closeSync(file);
      renameSync(temp, path);
    } finally {
      rmSync(temp, { force: true });
    }
    const directory = openSync(dirname(path), 'r');
    await flush(directory).catch(() => undefined); // and this
    closeSync(directory);
  });
}
