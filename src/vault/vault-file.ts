import { join } from 'node:path';
import { z } from 'zod';
import { CofferError } from '../errors.ts';
import { openReader } from '../files/reader.ts';
import { createFile } from '../files/replace.ts';
import type { Backend } from '../keyring/keyring.ts';

/** The vault key wrapped for a second way in. Binary fields are base64. */
export interface PassphraseSlot {
  readonly kind: 'passphrase';
  readonly algorithm: 'argon2id';
  /** KiB */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
  readonly salt: string;
  readonly wrapped: string;
}

/** vault.json: whose key the vault has and where that is kept. No secret in the clear. */
export interface VaultFile {
  readonly format: 1;
  /** Key id, 32 hex digits. */
  readonly key: string;
  /** The key that a rotation is replacing. */
  readonly retiring?: string | undefined;
  readonly backend: Backend;
  readonly provider: string;
  readonly slots: readonly PassphraseSlot[];
}

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
  const format = z.looseObject({ format: z.number().int() }).safeParse(value);
  if (format.success && format.data.format > 1) {
    throw new CofferError('NEWER_VERSION', `${path} was made by a newer version of coffer; update coffer to open it`);
  }
  const file = vaultFileSchema.safeParse(value);
  if (file.success) return file.data;
  const where = file.error.issues[0]?.path.join('.') ?? '';
  throw damaged(path, where ? `its ${where} is not what coffer writes` : 'it is not what coffer writes', file.error);
}

/**
 * Makes `vault.json`, complete and durable, if there is none: of several processes one wins.
 * Gives false to those that did not. Throws `NOT_SAVED`, `DURABILITY_UNKNOWN`.
 */
export async function createVaultFile(directory: string, file: VaultFile): Promise<boolean> {
  const text = `${JSON.stringify(file, undefined, 2)}\n`;
  return (await createFile(vaultFilePath(directory), [Buffer.from(text)])) !== undefined;
}

/** Where a vault keeps its `vault.json`. */
export function vaultFilePath(directory: string): string {
  return join(directory, 'vault.json');
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

function damaged(path: string, what: string, cause?: unknown): CofferError {
  const advice = 'restore it from a backup, or move it away and coffer looks for the key that the sessions name';
  return new CofferError('UNAUTHENTIC', `${path} is damaged: ${what}; ${advice}`, { cause });
}

const keyId = z.string().regex(/^[0-9a-f]{32}$/);
const base64 = z.base64();

const vaultFileSchema = z.looseObject({
  format: z.literal(1),
  key: keyId,
  retiring: keyId.optional(),
  backend: z.enum(['keytar', 'secret-service', 'security', 'dpapi', 'fd', 'passphrase', 'memory']),
  provider: z.string().max(200),
  slots: z
    .array(
      z.object({
        kind: z.literal('passphrase'),
        algorithm: z.literal('argon2id'),
        memory: z.number().int(),
        passes: z.number().int(),
        parallelism: z.number().int(),
        salt: base64,
        wrapped: base64,
      }),
    )
    .max(16),
});
