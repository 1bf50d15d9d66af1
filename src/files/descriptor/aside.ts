import * as fs from 'node:fs';
import { promisify } from 'node:util';

/**
 * `fs.write` on another thread, as a promise. `node:fs/promises` offers it only for file handles,
 * and is slow to load.
 */
export const write: typeof fs.write.__promisify__ = promisify(fs.write);

/** `fs.fsync` on another thread, as a promise. */
export const fsync: typeof fs.fsync.__promisify__ = promisify(fs.fsync);

/** `fs.fdatasync` on another thread, as a promise. */
export const fdatasync: typeof fs.fdatasync.__promisify__ = promisify(fs.fdatasync);
