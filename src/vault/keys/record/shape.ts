import type { Backend } from '../../../keyring/keyring.ts';
import type { SlotParameters } from '../../../keyring/passphrase.ts';
import type { RecoveryParameters } from '../../../keyring/recovery-code.ts';
import { type Check, isInteger, isText, oneOf, optional, wrongField } from '../../fields.ts';

/** The maximum number of key slots. */
export const MAX_SLOTS = 16;

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

/** The vault key, wrapped with a passphrase or a recovery code. */
export type KeySlot = PassphraseSlot | RecoverySlot;

/** A successor certificate: sealed under the key `from`, it names the key `to` that replaced it. */
export interface Successor {
  /** Key ids. */
  readonly from: string;
  readonly to: string;
  /** base64 */
  readonly sealed: string;
}

/**
 * vault.json: the id of the vault's key, and the place where the key is stored. No secret in the clear. Nothing in it
 * may be trusted before its MAC has been verified with that key.
 */
export interface VaultFile {
  readonly format: 1;
  /** Key id, 32 hex digits. */
  readonly key: string;
  /** The key that a rotation is replacing: files that it has not resealed yet still need it. */
  readonly retiring?: string | undefined;
  /** The slots of the retiring key, until it is dropped. */
  readonly retiringSlots?: readonly KeySlot[] | undefined;
  readonly backend: Backend;
  readonly provider: string;
  readonly slots: readonly KeySlot[];
  /** The certificates of this rotation and of past ones. */
  readonly successors?: readonly Successor[] | undefined;
  /** Rises by one at every change; `seen` knows the highest. */
  readonly counter?: number | undefined;
  /** HMAC-SHA-256 over every other field, 64 hex digits; missing in records that predate it. */
  readonly mac?: string | undefined;
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

const successorChecks: Readonly<Record<keyof Successor, Check>> = { from: isKeyId, to: isKeyId, sealed: isBase64 };

const areSuccessors: Check = (value) =>
  Array.isArray(value) && value.every((one) => wrongField(one, successorChecks) === undefined);

/** Checks each field of vault.json. */
export const vaultFileChecks: Readonly<Record<keyof VaultFile, Check>> = {
  format: oneOf(1),
  key: isKeyId,
  retiring: optional(isKeyId),
  retiringSlots: optional(areSlots),
  backend: oneOf('keytar', 'secret-service', 'security', 'dpapi', 'fd', 'passphrase', 'memory'),
  provider: (value) => isText(value) && value.length <= 200,
  slots: areSlots,
  successors: optional(areSuccessors),
  counter: optional((value) => isInteger(value) && value > 0),
  mac: optional((value) => isText(value) && /^[0-9a-f]{64}$/.test(value)),
};
