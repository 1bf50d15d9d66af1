import { argon2, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CofferError } from '../errors.ts';

/**
 * The parameters for deriving a slot's key from a passphrase. They are stored unencrypted next to
 * the wrapped key, so they must be checked against bounds before use.
 */
export interface SlotParameters {
  readonly kind: 'passphrase';
  readonly algorithm: 'argon2id';
  /** KiB */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
  /** base64, 16 bytes */
  readonly salt: string;
}

const SALT_LENGTH = 16;
const SLOT_KEY_LENGTH = 32;

/**
 * Values that are too low expose the passphrase to anyone who can edit vault.json; values that are
 * too high exhaust the machine.
 */
const BOUNDS = { memory: [65_536, 1_048_576], passes: [3, 16], parallelism: [1, 4] } as const;

/** The maximum size of a passphrase file, in bytes. A larger file is something else. */
const PASSPHRASE_FILE_LIMIT = 64 * 1024;

/**
 * Creates the parameters of a new slot: argon2id, 64 MiB, three passes, one lane (RFC 9106), and a
 * fresh salt.
 */
export function newSlotParameters(): SlotParameters {
  const salt = randomBytes(SALT_LENGTH).toString('base64');
  return { kind: 'passphrase', algorithm: 'argon2id', memory: 65_536, passes: 3, parallelism: 1, salt };
}

/**
 * Derives the key of a slot from a passphrase, which is normalised to NFC so that all keyboards
 * produce the same key; takes 127 ms. Throws `KEY_MISMATCH` if a parameter is out of bounds, before
 * any is used.
 */
export async function deriveSlotKey(passphrase: string, parameters: SlotParameters): Promise<KeyObject> {
  const nonce = checkedSalt(parameters);
  const { memory, passes, parallelism } = parameters;
  const message = Buffer.from(passphrase.normalize('NFC'), 'utf8');
  const work = Promise.withResolvers<Buffer>();
  const options = { message, nonce, memory, passes, parallelism, tagLength: SLOT_KEY_LENGTH };
  argon2('argon2id', options, (error, key) => (error ? work.reject(error) : work.resolve(key)));
  const derived = await work.promise;
  message.fill(0);
  const key = createSecretKey(derived);
  derived.fill(0);
  return key;
}

/**
 * Reads a passphrase from a file, without one newline at its end. Throws `KEY_ABSENT` if the file
 * can't be read, is empty, larger than 64 KiB or not UTF-8.
 */
export async function readPassphraseFile(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new CofferError('KEY_ABSENT', `the passphrase file ${path} cannot be read`, { reason, cause });
  }
  if (bytes.length > PASSPHRASE_FILE_LIMIT) throw unusable(path, 'is larger than 64 KiB');
  const passphrase = decode(path, bytes).replace(/\r?\n$/, '');
  bytes.fill(0);
  if (passphrase === '') throw unusable(path, 'is empty');
  return passphrase;
}

function checkedSalt(parameters: SlotParameters): Buffer {
  const { kind, algorithm } = parameters;
  if (kind !== 'passphrase' || algorithm !== 'argon2id')
    throw outOfBounds('algorithm', `${kind} ${algorithm}`, 'argon2id');
  for (const [name, [least, most]] of Object.entries(BOUNDS)) {
    const value = parameters[name as keyof typeof BOUNDS];
    if (!Number.isInteger(value) || value < least || value > most) {
      throw outOfBounds(name, String(value), `${least} to ${most}`);
    }
  }
  const salt = Buffer.from(parameters.salt, 'base64');
  if (salt.length !== SALT_LENGTH || salt.toString('base64') !== parameters.salt) {
    throw outOfBounds('salt', `${salt.length} bytes`, `${SALT_LENGTH} bytes in base64`);
  }
  return salt;
}

function outOfBounds(name: string, value: string, allowed: string): CofferError {
  const message = `the passphrase slot's ${name} is ${value.slice(0, 40)} but must be ${allowed}; restore vault.json from a backup`;
  return new CofferError('KEY_MISMATCH', message);
}

function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw unusable(path, 'is not UTF-8', cause);
  }
}

function unusable(path: string, why: string, cause?: unknown): CofferError {
  return new CofferError('KEY_ABSENT', `the passphrase file ${path} ${why}`, {
    advice: 'write the passphrase into it',
    cause,
  });
}
