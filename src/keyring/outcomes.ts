/**
 * The outcomes of a look-up, a write or a probe of a keyring.
 *
 * - `READY`: it answered, and the item exists (for a write: was written)
 * - `NOT_FOUND`: it answered, is unlocked, and has no such item
 * - `LOCKED`: it answered, but needs to be unlocked, and was not
 * - `DECLINED`: the user dismissed the unlock prompt, or the system denied access
 * - `ABSENT`: nothing answers: no bus, no service, no addon, no descriptor
 * - `TIMEOUT`: no answer within the deadline
 * - `MISMATCH`: the item exists but isn't a vault key
 */
export type Outcome = 'READY' | 'NOT_FOUND' | 'LOCKED' | 'DECLINED' | 'ABSENT' | 'TIMEOUT' | 'MISMATCH';

/** The places where a vault key can be kept. vault.json records the name. */
export type Backend = 'keytar' | 'secret-service' | 'security' | 'dpapi' | 'fd' | 'passphrase' | 'memory';

/**
 * An outcome with one lower-case phrase for users (`the login keychain is locked`). Never contains
 * a secret.
 */
export interface Answer {
  readonly outcome: Outcome;
  readonly detail: string;
}

/** An answer other than `READY`. */
export type Refusal = Answer & { readonly outcome: Exclude<Outcome, 'READY'> };

/** The result of a look-up. With `READY` it has the secret, 32 bytes that the caller owns. */
export type LookUp = { readonly outcome: 'READY'; readonly secret: Buffer } | Refusal;

/** The result of reading an item, before checking that it is a key. */
export type Found = { readonly outcome: 'READY'; readonly text: string } | Refusal;

/**
 * A place where a vault key is kept. Implementations must return an outcome for every state that
 * they can meet, must not reject except for a programmer's mistake, must return within their
 * deadline, and must never report `READY` for a write that they did not make. The vault checks
 * whether a secret belongs to a key id.
 */
export interface Keyring {
  readonly backend: Backend;
  /**
   * Checks, without prompting and without reading an item, whether a key could be stored here now.
   */
  probe(): Promise<Answer>;
  /**
   * Returns the name of the provider, for vault.json and messages: `gnome-keyring`, `macOS
   * Keychain`.
   */
  provider(): Promise<string>;
  get(keyId: string): Promise<LookUp>;
  set(keyId: string, secret: Uint8Array): Promise<Answer>;
  delete(keyId: string): Promise<Answer>;
}

/** The service of every item that coffer stores; the account is the key id. */
export const SERVICE = 'coffer';

/** The length of a vault key, in bytes. */
export const SECRET_LENGTH = 32;

/** Encodes a vault key for a keychain: base64. Throws RangeError unless it is 32 bytes. */
export function encodeSecret(secret: Uint8Array): string {
  if (secret.length !== SECRET_LENGTH)
    throw new RangeError(`a vault key must be ${SECRET_LENGTH} bytes, not ${secret.length}`);
  return Buffer.from(secret).toString('base64');
}

/**
 * Decodes the text of a keychain item. Returns `MISMATCH` unless it is the base64 of 32 bytes,
 * optionally followed by one newline.
 */
export function decodeSecret(found: Found): LookUp {
  if (found.outcome !== 'READY') return found;
  const text = found.text.replace(/\r?\n$/, '');
  const secret = Buffer.from(text, 'base64');
  // Node skips characters that aren't base64, so only text that survives a round trip was valid.
  if (secret.length === SECRET_LENGTH && secret.toString('base64') === text) return { outcome: 'READY', secret };
  secret.fill(0);
  return { outcome: 'MISMATCH', detail: text === '' ? 'the item is empty' : 'the item is not a vault key' };
}

/**
 * Validates a key id before it is used as an attribute, a command or a file name. Throws RangeError
 * unless it is 32 lower-case hex digits.
 */
export function requireKeyId(keyId: string): void {
  if (!/^[0-9a-f]{32}$/.test(keyId)) throw new RangeError('a key id must be 32 hex digits');
}
