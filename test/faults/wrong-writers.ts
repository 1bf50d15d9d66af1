import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/*
 * Loaded before the driver (`node --import`), lets flushes succeed that were never made; the rest
 * of the vault is unchanged. COFFER_UNFLUSHED selects which ones.
 */

/** The flushes that can be left out. */
export type Unflushed = 'everything' | 'files' | 'directories';

/** Returns the environment of a driver that leaves them out. */
export function unflushed(what: Unflushed): NodeJS.ProcessEnv {
  return { COFFER_UNFLUSHED: what, NODE_OPTIONS: `--import=${import.meta.filename}` };
}

const what = process.env['COFFER_UNFLUSHED'];
if (what !== undefined) skipFlushes((isDirectory) => what === 'everything' || isDirectory === (what === 'directories'));

function skipFlushes(isSkipped: (isDirectory: boolean) => boolean): void {
  const { fsync, fsyncSync, fdatasync, fdatasyncSync, fstatSync } = fs;
  const skips = (descriptor: number): boolean => isSkipped(fstatSync(descriptor).isDirectory());
  const later =
    (flush: typeof fsync) =>
    (descriptor: number, done: fs.NoParamCallback): void =>
      skips(descriptor) ? void setImmediate(done, null) : flush(descriptor, done);
  const now =
    (flush: typeof fsyncSync) =>
    (descriptor: number): void =>
      skips(descriptor) ? undefined : flush(descriptor);
  Object.assign(fs, {
    fsync: later(fsync),
    fdatasync: later(fdatasync),
    fsyncSync: now(fsyncSync),
    fdatasyncSync: now(fdatasyncSync),
  });
  syncBuiltinESMExports();
}
