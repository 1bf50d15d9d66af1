import { join } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import { openReader } from '../files/reader.ts';
import { createFile, replaceFile } from '../files/replace.ts';
import type { Backend } from '../keyring/keyring.ts';
import type { SlotParameters } from '../keyring/passphrase.ts';
import type { RecoveryParameters } from '../keyring/recovery-code.ts';
import { type Check, isInteger, isText, oneOf, optional, wrongField } from './fields.ts';

/** The vault key wrapped for a passphrase. */
export interface PassphraseSlot extends SlotParameters {
  /** base64 */
  readonly wrapped: string;
}

/** The vault key wrapped for a recovery code. */
export interface RecoverySlot extends RecoveryParameters {
  /** base64 */
  readonly wrapped: string;
}

/** The vault key wrapped for a second way in. */
export type KeySlot = PassphraseSlot | RecoverySlot;

/** vault.json: whose key the vault has and where that is kept. No secret in the clear. */
export interface VaultFile {
  readonly format: 1;
  /** Key id, 32 hex digits. */
  readonly key: string;
  /** The key that a rotation is replacing: files that it has not come to are still sealed with it. */
  readonly retiring?: string | undefined;
  /** The slots of the retiring key, until it is dropped. */
  readonly retiringSlots?: readonly KeySlot[] | undefined;
  readonly backend: Backend;
  readonly provider: string;
  readonly slots: readonly KeySlot[];
}

/** How many key slots a vault has at most. */
export const MAX_SLOTS = 16;

/** vault.json is small: what is larger than this is not ours. */
const LIMIT = 64 * 1024;

/**
 * Reads `vault.json`; undefined where there is none.
 * Throws `NEWER_VERSION`, and `UNAUTHENTIC` where it is not what coffer writes.
 */
export function readVaultFile(directory: string): VaultFile | undefined {
  const path = vaultFilePath(directory);
  const text = readText(path);
  if (text === undefined) return undefined;
  const value = parse(path, text);
  if (isNewer(value)) {
    throw new CofferError('NEWER_VERSION', `${path} was made by a newer version of coffer`, {
      advice: 'update coffer to open it',
    });
  }
  const wrong = wrongField(value, vaultFileChecks);
  if (wrong === undefined) return withKnownSlots(value as VaultFile);
  throw damaged(path, wrong ? `its ${wrong} is not what coffer writes` : 'it is not what coffer writes');
}

/**
 * Makes `vault.json`, complete and durable, if there is none: of several processes one wins.
 * Gives false to those that did not. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`.
 */
export async function createVaultFile(directory: string, file: VaultFile): Promise<boolean> {
  try {
    return (await createFile(vaultFilePath(directory), [encode(file)])) !== undefined;
  } catch (error) {
    // The winner may have changed its file already, and swept ours from beside it.
    if (isCofferError(error, 'NOT_SAVED') && readVaultFile(directory)) return false;
    throw error;
  }
}

/**
 * Overwrites `vault.json`. Durable when it resolves. Call under `locks/vault`, with what was read under it.
 * Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`.
 */
export async function replaceVaultFile(directory: string, file: VaultFile): Promise<void> {
  await replaceFile(vaultFilePath(directory), [encode(file)]);
}

/** Where a vault keeps its `vault.json`. */
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
    throw error;
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw damaged(path, 'it is not JSON', cause);
  }
}

/** A slot's parameters are authenticated as they stand: what is not one of them does not belong there. */
function withKnownSlots(file: VaultFile): VaultFile {
  const { retiringSlots } = file;
  const slots = file.slots.map(knownSlot);
  return { ...file, slots, ...(retiringSlots && { retiringSlots: retiringSlots.map(knownSlot) }) };
}

function knownSlot(slot: KeySlot): KeySlot {
  const { kind, salt, wrapped } = slot;
  if (kind === 'recovery') return { kind, algorithm: slot.algorithm, salt, wrapped };
  const { algorithm, memory, passes, parallelism } = slot;
  return { kind, algorithm, memory, passes, parallelism, salt, wrapped };
}

function isNewer(value: unknown): boolean {
  return wrongField(value, { format: (format) => isInteger(format) && format > 1 }) === undefined;
}

function damaged(path: string, what: string, cause?: unknown): CofferError {
  const advice = 'restore it from a backup, or move it away and coffer looks for the key that the sessions name';
  return new CofferError('UNAUTHENTIC', `${path} is damaged: ${what}`, { advice, cause });
}

const isKeyId: Check = (value) => isText(value) && /^[0-9a-f]{32}$/.test(value);
const isBase64: Check = (value) => isText(value) && Buffer.from(value, 'base64').toString('base64') === value;

const recoveryChecks: Readonly<Record<keyof RecoverySlot, Check>> = {
  kind: oneOf('recovery'),
  algorithm: oneOf('hkdf-sha256'),
  salt: isBase64,
  wrapped: isBase64,
};

const passphraseChecks: Readonly<Record<keyof PassphraseSlot, Check>> = {
  kind: oneOf('passphrase'),
  algorithm: oneOf('argon2id'),
  memory: isInteger,
  passes: isInteger,
  parallelism: isInteger,
  salt: isBase64,
  wrapped: isBase64,
};

const isSlot: Check = (value) =>
  [passphraseChecks, recoveryChecks].some((checks) => wrongField(value, checks) === undefined);

const areSlots: Check = (value) => Array.isArray(value) && value.length <= MAX_SLOTS && value.every(isSlot);

const vaultFileChecks: Readonly<Record<keyof VaultFile, Check>> = {
  format: oneOf(1),
  key: isKeyId,
  retiring: optional(isKeyId),
  retiringSlots: optional(areSlots),
  backend: oneOf('keytar', 'secret-service', 'security', 'dpapi', 'fd', 'passphrase', 'memory'),
  provider: (value) => isText(value) && value.length <= 200,
  slots: areSlots,
};
