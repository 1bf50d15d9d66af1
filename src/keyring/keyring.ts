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

/** A look-up: with `READY` comes the secret, 32 bytes owned by the caller. */
export type LookUp = { readonly outcome: 'READY'; readonly secret: Buffer } | (Answer & { readonly outcome: Exclude<Outcome, 'READY'> });

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
