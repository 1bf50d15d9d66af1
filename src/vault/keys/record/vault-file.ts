import { join } from 'node:path';
import type { VaultKey } from '../../../envelope/key.ts';
import { CofferError, isCofferError } from '../../../errors.ts';
import { openReader, statsOf } from '../../../files/reader.ts';
import { createFile, replaceFile, replaceFileSync } from '../../../files/replace/replace.ts';
import { isInteger, wrongField } from '../../fields.ts';
import { type AuthenticatedFile, authenticated } from './record.ts';
import { type VaultFile, vaultFileChecks } from './shape.ts';

export type { KeySlot, PassphraseSlot, RecoverySlot, VaultFile } from './shape.ts';

/** The current vault.json. */
export interface FoundFile {
  /** Its text, to detect changes; undefined if there is no file. */
  readonly text: string | undefined;
  /** The record, if it is well-formed. */
  readonly file?: VaultFile | undefined;
  /** Each field that is well-formed, even if others are not. */
  readonly fields: Partial<VaultFile>;
  /** Why it is not well-formed. */
  readonly error?: CofferError | undefined;
}

/** Maximum size in bytes: vault.json is small, and a larger file is not coffer's. */
const LIMIT = 64 * 1024;

/** Maximum nesting depth of its JSON. */
const DEPTH = 16;

/**
 * Reads `vault.json`; undefined if there is none. Doesn't verify its MAC. Throws `UNAUTHENTIC` if
 * it is not what coffer writes, `FAILED` if it can't be read.
 */
export function readVaultFile(directory: string): VaultFile | undefined {
  const { file, error } = findVaultFile(directory);
  if (error) throw error;
  return file;
}

/** Reads `vault.json` even if it is damaged. Throws `FAILED` if it can't be read at all. */
export function findVaultFile(directory: string): FoundFile {
  const path = vaultFilePath(directory);
  let text: string | undefined;
  try {
    text = readText(path);
    if (text === undefined) return { text, fields: {} };
    const value = parse(path, text);
    const wrong = wrongField(value, vaultFileChecks);
    if (wrong === undefined) return { text, file: value as VaultFile, fields: value as VaultFile };
    const what = wrong ? `its ${wrong} is not what coffer writes` : 'it is not what coffer writes';
    return { text, fields: wellFormed(value), error: isNewer(value) ? newer(path) : damaged(path, what) };
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return { text: text ?? '', fields: {}, error };
  }
}

/**
 * Creates `vault.json`, complete, durable and with its MAC, if there is none: of several processes
 * one wins. Returns the record; undefined for those that did not win. Throws `NOT_SAVED`,
 * `DURABILITY_UNKNOWN`.
 */
export async function createVaultFile(
  directory: string,
  file: VaultFile,
  key: VaultKey,
): Promise<AuthenticatedFile | undefined> {
  const record = authenticated(file, key);
  try {
    return (await createFile(vaultFilePath(directory), [encode(record)])) && record;
  } catch (error) {
    // The winner may have changed its file already, and swept our temporary file.
    if (isCofferError(error, 'NOT_SAVED') && readVaultFile(directory)) return undefined;
    throw error;
  }
}

/**
 * Overwrites `vault.json`, with the next counter (above `least`) and a MAC under `key`, and returns
 * what it says now. Durable when it resolves. Must be called under `locks/vault`, with what was
 * read and verified under it. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`.
 */
export async function replaceVaultFile(
  directory: string,
  file: VaultFile,
  key: VaultKey,
  least?: number,
): Promise<AuthenticatedFile> {
  const record = authenticated(file, key, least);
  await replaceFile(vaultFilePath(directory), [encode(record)]);
  return record;
}

/** Overwrites `vault.json` like {@link replaceVaultFile}, but synchronously. */
export function replaceVaultFileSync(directory: string, file: VaultFile, key: VaultKey): AuthenticatedFile {
  const record = authenticated(file, key);
  replaceFileSync(vaultFilePath(directory), [encode(record)]);
  return record;
}

/** Returns the path of a vault's `vault.json`. */
export function vaultFilePath(directory: string): string {
  return join(directory, 'vault.json');
}

function encode(file: VaultFile): Buffer {
  return Buffer.from(`${JSON.stringify(file, undefined, 2)}\n`);
}

function readText(path: string): string | undefined {
  try {
    using reader = openReader(path);
    const { size } = reader.stamp;
    if (size > LIMIT) throw damaged(path, `it has ${size} bytes`);
    return reader.at(0, size).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (statsOf(path)?.isFile() === false) throw damaged(path, 'it is not a regular file', error);
    throw error;
  }
}

function parse(path: string, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, 'it is not JSON', cause);
  }
  if (isDeeper(value, DEPTH)) throw damaged(path, `it is nested deeper than ${DEPTH} levels`);
  return value;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((field) => isDeeper(field, levels - 1));
}

function isNewer(value: unknown): boolean {
  return wrongField(value, { format: (format) => isInteger(format) && format > 1 }) === undefined;
}

/** Returns the fields that pass their own check. */
function wellFormed(value: unknown): Partial<VaultFile> {
  if (typeof value !== 'object' || value === null) return {};
  const fields = Object.entries(value).filter(
    ([name, field]) => Object.hasOwn(vaultFileChecks, name) && vaultFileChecks[name as keyof VaultFile](field),
  );
  return Object.fromEntries(fields);
}

/** A record of a later format can't be verified, so it may as well be a forgery that says so. */
function newer(path: string): CofferError {
  return new CofferError('UNAUTHENTIC', `${path} has a format that this version of coffer does not know`, {
    advice:
      'sessions stay readable; if a newer coffer wrote it, update this one; otherwise restore it from a backup, or coffer key repair writes a new one',
  });
}

function damaged(path: string, what: string, cause?: unknown): CofferError {
  const advice = 'sessions stay readable; restore it from a backup, or coffer key repair writes a new one';
  return new CofferError('UNAUTHENTIC', `${path} is damaged: ${what}`, { advice, cause });
}
