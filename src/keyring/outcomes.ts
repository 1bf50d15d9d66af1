/**
 * What a look-up, a write or a probe of a key's home can end in.
 *
 * - `READY`: it answered, and what was asked for is there (for a write: was written)
 * - `NOT_FOUND`: it answered, is unlocked, and there is no such item
 * - `LOCKED`: it answered, and needs an unlock that nobody gave
 * - `DECLINED`: somebody dismissed the unlock prompt, or the system forbade the access
 * - `ABSENT`: nothing answers there: no bus, no service, no addon, no descriptor
 * - `TIMEOUT`: no answer within the deadline
 * - `MISMATCH`: an item is there, but it is not a vault key
 */
export type Outcome = 'READY' | 'NOT_FOUND' | 'LOCKED' | 'DECLINED' | 'ABSENT' | 'TIMEOUT' | 'MISMATCH';

/** The homes a vault key can have; the name is recorded in vault.json. */
export type Backend = 'keytar' | 'secret-service' | 'security' | 'dpapi' | 'fd' | 'passphrase' | 'memory';

/** How something ended, with one lower-case phrase for people (`the login keychain is locked`). Never a secret. */
export interface Answer {
  readonly outcome: Outcome;
  readonly detail: string;
}

/** An answer that is not the one hoped for. */
export type Refusal = Answer & { readonly outcome: Exclude<Outcome, 'READY'> };

/** A look-up: with `READY` comes the secret, 32 bytes owned by the caller. */
export type LookUp = { readonly outcome: 'READY'; readonly secret: Buffer } | Refusal;

/** A look-up of what is stored, before anybody has seen whether it is a key. */
export type Found = { readonly outcome: 'READY'; readonly text: string } | Refusal;

/**
 * Where a vault key is kept. Implementations must answer every state they can meet with an outcome,
 * must not reject but for a programmer's mistake, must answer within their deadline, and must never
 * report `READY` for a write they did not make. Whether a secret belongs to a key id is the vault's to check.
 */
export interface Keyring {
  readonly backend: Backend;
  /** Asks, without prompting and without reading an item, whether a key could be kept here now. */
  probe(): Promise<Answer>;
  /** The name of what answers there, for vault.json and messages: `gnome-keyring`, `macOS Keychain`. */
  provider(): Promise<string>;
  get(keyId: string): Promise<LookUp>;
  set(keyId: string, secret: Uint8Array): Promise<Answer>;
  delete(keyId: string): Promise<Answer>;
}

/** The service that every item of ours is kept under; its account is the key id. */
export const SERVICE = 'coffer';

/** How long a vault key is, in bytes. */
export const SECRET_LENGTH = 32;

/** Writes a vault key as a keychain keeps it: base64. Throws RangeError unless it has 32 bytes. */
export function encodeSecret(secret: Uint8Array): string {
  if (secret.length !== SECRET_LENGTH)
    throw new RangeError(`a vault key has ${SECRET_LENGTH} bytes, not ${secret.length}`);
  return Buffer.from(secret).toString('base64');
}

/** Reads what a keychain kept; `MISMATCH` for anything but the base64 of 32 bytes, one newline after it tolerated. */
export function decodeSecret(found: Found): LookUp {
  if (found.outcome !== 'READY') return found;
  const text = found.text.replace(/\r?\n$/, '');
  const secret = Buffer.from(text, 'base64');
  // Node skips what is not base64: only text that comes out again as it went in was base64 throughout.
  if (secret.length === SECRET_LENGTH && secret.toString('base64') === text) return { outcome: 'READY', secret };
  secret.fill(0);
  return { outcome: 'MISMATCH', detail: text === '' ? 'the item is empty' : 'the item is not a vault key' };
}

/**
 * Checks that a key id is one before it becomes an attribute, a command or a file name.
 * Throws RangeError unless it has 32 lower-case hex digits.
 */
export function requireKeyId(keyId: string): void {
  if (!/^[0-9a-f]{32}$/.test(keyId)) throw new RangeError('a key id has 32 hex digits');
}
