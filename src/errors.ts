/**
 * The stable names of what can go wrong. They are API: a code keeps its meaning for good,
 * while the message beside it may change from version to version.
 *
 * | exit | codes |
 * |---|---|
 * | 1 | `FAILED`, `MODEL_FAILED`, `MODEL_REFUSED`, `MODEL_LIMITED`, `MODEL_UNREACHABLE`, `LIMIT_REACHED`, `TOO_LARGE`, `IMPORT_INVALID`, `CANCELLED` |
 * | 2 | `USAGE`, `SETTINGS_INVALID`, `NAME_INVALID`, `MODEL_UNKNOWN`, `MODEL_KEY_MISSING`, `MODEL_ELSEWHERE`, `INCOGNITO` |
 * | 10 | `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS` |
 * | 11 | `SESSION_IN_USE`, `VAULT_BUSY` |
 * | 12 | `KEY_NOT_FOUND`, `KEY_LOCKED`, `KEY_DECLINED`, `KEY_ABSENT`, `KEY_TIMEOUT`, `KEY_MISMATCH`, `KEY_OTHER`, `PASSPHRASE_WRONG`, `RECOVERY_CODE_WRONG` |
 * | 13 | `UNAUTHENTIC`, `ROLLED_BACK` |
 * | 14 | `NEWER_VERSION` |
 * | 15 | `NOT_SAVED`, `DURABILITY_UNKNOWN` |
 */
export type ErrorCode =
  | 'FAILED'
  | 'USAGE'
  | 'SETTINGS_INVALID'
  | 'NAME_INVALID'
  | 'SESSION_NOT_FOUND'
  | 'SESSION_AMBIGUOUS'
  | 'SESSION_IN_USE'
  | 'VAULT_BUSY'
  | 'KEY_NOT_FOUND'
  | 'KEY_LOCKED'
  | 'KEY_DECLINED'
  | 'KEY_ABSENT'
  | 'KEY_TIMEOUT'
  | 'KEY_MISMATCH'
  | 'KEY_OTHER'
  | 'PASSPHRASE_WRONG'
  | 'RECOVERY_CODE_WRONG'
  | 'UNAUTHENTIC'
  | 'ROLLED_BACK'
  | 'NEWER_VERSION'
  | 'NOT_SAVED'
  | 'DURABILITY_UNKNOWN'
  | 'MODEL_UNKNOWN'
  | 'MODEL_KEY_MISSING'
  | 'MODEL_UNREACHABLE'
  | 'MODEL_REFUSED'
  | 'MODEL_LIMITED'
  | 'MODEL_FAILED'
  | 'MODEL_ELSEWHERE'
  | 'LIMIT_REACHED'
  | 'TOO_LARGE'
  | 'IMPORT_INVALID'
  | 'INCOGNITO'
  | 'CANCELLED';

/**
 * Everything coffer throws that is not a programmer's mistake (those are TypeError and RangeError).
 * The message is one lower-case line without a full stop: what happened, to which thing, what to do
 * now. It carries ids and paths, never plaintext and never key bytes.
 */
export class CofferError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return 'CofferError';
  }
}

/** Tells whether something thrown is a {@link CofferError}, of one of `codes` where any are given. */
export function isCofferError(error: unknown, ...codes: ErrorCode[]): error is CofferError {
  return error instanceof CofferError && (codes.length === 0 || codes.includes(error.code));
}
