/**
 * The stable codes of coffer's errors, with their exit codes. They are API: a code never changes
 * its meaning, while the message that comes with it may change from version to version.
 *
 * | exit | codes |
 * |---|---|
 * | 1 | `FAILED`, `MODEL_FAILED`, `MODEL_REFUSED`, `MODEL_LIMITED`, `MODEL_UNREACHABLE`, `TOOLS_UNSUPPORTED`, `FILES_UNSUPPORTED`, `CONTEXT_TOO_LONG`, `LIMIT_REACHED`, `TOO_LARGE`, `IMPORT_INVALID`, `CANCELLED`, `NO_ASK`, `NOTHING_RUNS`, `QUEUE_FULL` |
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
  | 'TOOLS_UNSUPPORTED'
  | 'FILES_UNSUPPORTED'
  | 'CONTEXT_TOO_LONG'
  | 'MODEL_ELSEWHERE'
  | 'LIMIT_REACHED'
  | 'TOO_LARGE'
  | 'IMPORT_INVALID'
  | 'INCOGNITO'
  | 'CANCELLED'
  | 'NO_ASK'
  | 'NOTHING_RUNS'
  | 'QUEUE_FULL';

/**
 * The process that has a session open. `since` is in milliseconds since 1970; `pid` 0 means
 * unknown.
 */
export interface Holder {
  readonly pid: number;
  readonly since: number;
}

/**
 * The details of an error. All of them are safe to print: they hold no plaintext and no key bytes.
 */
export interface ErrorDetails extends ErrorOptions {
  /** The reason, short enough for a status line: `disk full`. */
  readonly reason?: string | undefined;
  /**
   * The advice for the user, or a note that there is nothing to do: `close it there`, `nothing is
   * changed`.
   */
  readonly advice?: string | undefined;
  /** The process that has the session open, for `SESSION_IN_USE`. */
  readonly holder?: Holder | undefined;
  /**
   * The first line of the provider's own error text, cut to 300 characters, with keys removed. It
   * is not part of the message; escape it before showing it.
   */
  readonly said?: string | undefined;
}

/**
 * Any error that coffer throws, except a programmer's mistake (those are TypeError and RangeError).
 * The message is one lower-case line without a full stop: what happened, to which thing, why, and
 * what to do now (`cannot write to /x: disk full; nothing is changed`). It may contain ids and
 * paths, never plaintext or key bytes. The message is for people; programs read the code and the
 * other fields.
 */
export class CofferError extends Error {
  readonly code: ErrorCode;
  /** The event and the thing that it concerns: the message without the reason and the advice. */
  readonly what: string;
  /** The reason, short enough for a status line. Default: {@link what}. */
  readonly reason: string;
  /** The advice for the user, or a note that there is nothing to do. */
  readonly advice: string | undefined;
  /** The process that has the session open, for `SESSION_IN_USE`. */
  readonly holder: Holder | undefined;
  /** The first line of the provider's own error text, if any. */
  readonly said: string | undefined;

  constructor(code: ErrorCode, what: string, { reason, advice, holder, said, ...options }: ErrorDetails = {}) {
    super(`${what}${reason === undefined ? '' : `: ${reason}`}${advice === undefined ? '' : `; ${advice}`}`, options);
    this.code = code;
    this.what = what;
    this.reason = reason ?? what;
    this.advice = advice;
    this.holder = holder;
    this.said = said;
  }

  override get name(): string {
    return 'CofferError';
  }
}

/** Returns the public fields of an error, as `--json` prints them. */
export function errorFields({ code, message, reason, advice, holder, said }: CofferError): object {
  return { code, message, reason, advice, holder, said };
}

/**
 * Returns whether a thrown value is a {@link CofferError} with one of `codes`. Default: any code.
 */
export function isCofferError(error: unknown, ...codes: ErrorCode[]): error is CofferError {
  return error instanceof CofferError && (codes.length === 0 || codes.includes(error.code));
}
