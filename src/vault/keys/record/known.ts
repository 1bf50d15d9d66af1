import { existsSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../../errors.ts';
import { takeLock } from '../../../files/lock.ts';
import { makeDirectory } from '../../../files/paths.ts';
import { openReader, statsOf } from '../../../files/reader.ts';
import { isSystemError } from '../../../files/reason.ts';
import { replaceFileSync } from '../../../files/replace/replace.ts';
import { isInteger, isText, optional, wrongField } from '../../fields.ts';

/** Facts known about the vault in one directory. */
export interface KnownVault {
  /** Key id. */
  readonly key?: string | undefined;
  /** The owner and mode that were accepted although others can write to the directory. */
  readonly accepted?: Access | undefined;
}

/** The owner and the permissions of a directory. */
export interface Access {
  readonly uid: number;
  /** The low nine bits. */
  readonly mode: number;
}

/** How long to wait for another process that is writing the file, in milliseconds. */
const WAIT_MS = 2_000;

/** Maximum size in bytes: far more than any user's vaults take. */
const LIMIT = 1024 * 1024;

/**
 * The vaults that this user has opened: `vaults.json` (0600) in the settings directory maps the
 * real path of a data directory to its key id, as ssh keeps known_hosts. A data directory can't
 * change it, so it decides which key a record may name.
 */
export class KnownVaults {
  readonly #directory: string;
  /** Changes that this process could not write; kept until it ends. */
  readonly #unwritten = new Map<string, KnownVault>();
  readonly #onUnwritten: (error: CofferError) => void;

  /**
   * `onUnwritten` gets the reason why only this process remembers a change, once for each data
   * directory.
   */
  constructor(directory: string, onUnwritten: (error: CofferError) => void = () => undefined) {
    this.#directory = directory;
    this.#onUnwritten = onUnwritten;
  }

  /**
   * Returns what is known of a data directory. Throws `SETTINGS_INVALID` if the file is damaged or
   * others can write to it.
   */
  find(directory: string): KnownVault {
    const path = realPath(directory);
    return this.#unwritten.get(path) ?? this.#read().get(path) ?? {};
  }

  /**
   * Adds to what is known of a data directory. Durable when it resolves. Drops entries of
   * directories that are gone. Throws `NOT_SAVED`, `VAULT_BUSY`.
   */
  async change(directory: string, change: KnownVault): Promise<void> {
    const path = realPath(directory);
    if (!existsSync(this.#directory)) makeDirectory(this.#directory);
    using _lock = await takeLock(join(this.#directory, 'vaults.lock'), WAIT_MS);
    const known = this.#read();
    known.set(path, { ...known.get(path), ...change });
    const there = [...known].filter(([one]) => one === path || !isGone(one));
    const text = JSON.stringify({ format: 1, vaults: Object.fromEntries(there) }, undefined, 2);
    replaceFileSync(this.#path, [Buffer.from(`${text}\n`)]);
    this.#unwritten.delete(path);
  }

  /**
   * Like {@link change}, but if the file can't be written, only this process remembers the change,
   * and `onUnwritten` is called.
   */
  async note(directory: string, change: KnownVault): Promise<void> {
    try {
      await this.change(directory, change);
    } catch (error) {
      if (!isCofferError(error, 'NOT_SAVED', 'VAULT_BUSY', 'DURABILITY_UNKNOWN', 'FAILED')) throw error;
      const path = realPath(directory);
      const isTold = this.#unwritten.has(path);
      this.#unwritten.set(path, { ...this.find(directory), ...change });
      if (!isTold) this.#onUnwritten(unwritten(path, this.#path, error));
    }
  }

  /**
   * Makes sure that the file names no key but `key`: a later process would look for another one in
   * vain. Durable when it resolves. Throws as {@link change}.
   */
  async settle(directory: string, key: string): Promise<void> {
    const before = this.#read().get(realPath(directory))?.key;
    if (before !== undefined && before !== key) await this.change(directory, { key });
    else if (before === undefined) await this.note(directory, { key });
  }

  get #path(): string {
    // The user may keep the settings elsewhere, with a link here.
    return realPath(join(this.#directory, 'vaults.json'));
  }

  #read(): Map<string, KnownVault> {
    const path = this.#path;
    const text = readText(path);
    if (text === undefined) return new Map();
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw invalid(path, 'it is not JSON');
    }
    if (wrongField(value, checks) !== undefined) throw invalid(path, 'it is not what coffer writes');
    return new Map(Object.entries((value as { vaults: Record<string, KnownVault> }).vaults));
  }
}

/** An unreadable directory, such as one on a server that does not answer, is not gone. */
function isGone(directory: string): boolean {
  try {
    return statsOf(directory) === undefined;
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return false;
  }
}

/**
 * Returns the path that a data directory is known by: its real path, or its absolute path if it
 * does not exist yet.
 */
function realPath(directory: string): string {
  try {
    return realpathSync(directory);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return resolve(directory);
  }
}

function readText(path: string): string | undefined {
  try {
    using reader = openReader(path);
    const { size } = reader.stamp;
    const stats = statSync(path);
    if (canOthersWrite(stats)) throw invalid(path, 'others can write to it');
    if (size > LIMIT) throw invalid(path, `it has ${size} bytes`);
    return reader.at(0, size).toString('utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Tells whether another user could have changed a file or directory. Windows has no such modes. */
export function canOthersWrite({ uid, mode }: Pick<Stats, 'uid' | 'mode'>): boolean {
  const us = process.geteuid?.();
  return us !== undefined && ((uid !== us && uid !== 0) || (mode & 0o022) !== 0);
}

const isMap = (value: unknown, isEntry: (entry: unknown) => boolean): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isEntry);

const checks = {
  format: (value: unknown): boolean => value === 1,
  vaults: (value: unknown): boolean => isMap(value, (entry) => wrongField(entry, entryChecks) === undefined),
};

const entryChecks = {
  key: optional((value) => isText(value) && /^[0-9a-f]{32}$/.test(value)),
  accepted: optional((value) => wrongField(value, { uid: isInteger, mode: isInteger }) === undefined),
};

function unwritten(directory: string, path: string, cause: CofferError): CofferError {
  return new CofferError(cause.code, `the key of ${directory} could not be written to ${path}`, {
    reason: cause.reason,
    advice: 'until it is, replacing vault.json between two starts goes unnoticed',
    cause,
  });
}

function invalid(path: string, why: string): CofferError {
  const advice = 'restore it, or remove it: each vault is added again when it is next opened';
  return new CofferError('SETTINGS_INVALID', `${path} can't be used`, { reason: why, advice });
}
