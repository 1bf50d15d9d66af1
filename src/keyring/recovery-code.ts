import { createHash, createSecretKey, hkdfSync, type KeyObject, randomFillSync, timingSafeEqual } from 'node:crypto';
import { CofferError } from '../errors.ts';

/**
 * The parameters for deriving a slot's key from a recovery code. They are stored unencrypted next
 * to the wrapped key.
 */
export interface RecoveryParameters {
  readonly kind: 'recovery';
  readonly algorithm: 'hkdf-sha256';
  /** base64, 16 bytes */
  readonly salt: string;
}

/** Crockford's base32 digits: none that is easily mistaken for another, and no U. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Letters that users write for a digit, or misread in a bad print. */
const LOOKALIKES: Readonly<Record<string, string>> = { O: '0', I: '1', L: '1' };

const SECRET_LENGTH = 20;
const SECRET_DIGITS = 32;
const CHECK_DIGITS = 4;
const ALL_DIGITS: number = SECRET_DIGITS + CHECK_DIGITS;
const SALT_LENGTH = 16;
const SLOT_KEY_LENGTH = 32;

/** Characters that may separate or wrap the groups of a code: spaces, line ends, dashes. */
const SEPARATORS = /[\s\p{Pd}\u2212]/gu;

/**
 * A recovery code that the user keeps on paper: 160 random bits, too many to guess, so it needs no
 * slow key derivation. Written as 36 characters; the last four (20 bits) are check digits, which
 * distinguish a typo from the code of another vault. Neither `console.log` nor `JSON.stringify`
 * shows it.
 */
export class RecoveryCode {
  readonly #secret: Buffer;

  private constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** Generates a new code from the system's random source. */
  static generate(): RecoveryCode {
    return new RecoveryCode(randomFillSync(Buffer.allocUnsafeSlow(SECRET_LENGTH)));
  }

  /**
   * Creates a code from its 20 bytes, for tests and vectors. The bytes are copied: the caller keeps
   * its own and wipes them. Throws RangeError for any other length.
   */
  static from(bytes: Uint8Array): RecoveryCode {
    if (bytes.length !== SECRET_LENGTH)
      throw new RangeError(`a recovery code must be ${SECRET_LENGTH} bytes, not ${bytes.length}`);
    const secret = Buffer.allocUnsafeSlow(SECRET_LENGTH);
    secret.set(bytes);
    return new RecoveryCode(secret);
  }

  /**
   * Parses a code as users type it: in any case, with spaces and dashes anywhere, O for 0, I and L
   * for 1. Throws `RECOVERY_CODE_WRONG`, which names the mistake and reveals nothing of the code
   * except a character that is invalid in any code.
   */
  static read(text: string): RecoveryCode {
    const digits = digitsOf(text);
    if (digits.length !== ALL_DIGITS) {
      throw wrong(`a recovery code has ${ALL_DIGITS} characters, this one has ${digits.length}`);
    }
    const code = new RecoveryCode(fromDigits(digits.slice(0, SECRET_DIGITS)));
    if (checkDigits(code.#secret) !== digits.slice(SECRET_DIGITS)) {
      throw wrong('a character of the recovery code is mistyped, or two are swapped');
    }
    return code;
  }

  /** Returns whether an invalid text was probably meant as a code: its length is close. */
  static isLike(text: string): boolean {
    return Math.abs([...text.replace(SEPARATORS, '')].length - ALL_DIGITS) <= CHECK_DIGITS;
  }

  /**
   * Formats the code for the user: nine groups of four, with dashes. It is a secret: show it once,
   * never store it.
   */
  show(): string {
    const digits = toDigits(this.#secret) + checkDigits(this.#secret);
    return (digits.match(/.{4}/g) ?? []).join('-');
  }

  /** Returns whether both codes are the same, in constant time. */
  equals(other: RecoveryCode): boolean {
    return timingSafeEqual(this.#secret, other.#secret);
  }

  /**
   * Derives the key of a slot. Throws `KEY_MISMATCH` if the parameters are not those of a recovery
   * slot.
   */
  slotKey(parameters: RecoveryParameters): KeyObject {
    const info = 'coffer/v1/recovery-code';
    const derived = Buffer.from(hkdfSync('sha256', this.#secret, checkedSalt(parameters), info, SLOT_KEY_LENGTH));
    const key = createSecretKey(derived);
    derived.fill(0);
    return key;
  }
}

/** Creates the parameters of a new slot, with a fresh salt. */
export function newRecoveryParameters(): RecoveryParameters {
  const salt = randomFillSync(Buffer.alloc(SALT_LENGTH)).toString('base64');
  return { kind: 'recovery', algorithm: 'hkdf-sha256', salt };
}

/**
 * Returns the digits in canonical form. Throws `RECOVERY_CODE_WRONG` at the first invalid
 * character.
 */
function digitsOf(text: string): string {
  const characters = [...text.replace(SEPARATORS, '')];
  return characters.map(digitOf).join('');
}

function digitOf(character: string, at: number): string {
  // ASCII letters only: the upper case of some others is a digit here, although no code shows them.
  const upper = /^[a-z]$/.test(character) ? character.toUpperCase() : character;
  const digit = LOOKALIKES[upper] ?? upper;
  if (digit.length === 1 && DIGITS.includes(digit)) return digit;
  throw wrong(`character ${at + 1}, ${named(character)}, is not valid in a recovery code`);
}

function named(character: string): string {
  if (/^[!-~]$/.test(character)) return `"${character}"`;
  const point = character.codePointAt(0) ?? 0;
  return `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Encodes five bits per digit, most significant bit first. */
function toDigits(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((five) => DIGITS[Number.parseInt(five, 2)]).join('');
}

function fromDigits(digits: string): Buffer {
  const bits = [...digits].map((digit) => DIGITS.indexOf(digit).toString(2).padStart(5, '0')).join('');
  const bytes = Buffer.allocUnsafeSlow(SECRET_LENGTH);
  for (let at = 0; at < SECRET_LENGTH; at++) bytes[at] = Number.parseInt(bits.slice(8 * at, 8 * at + 8), 2);
  return bytes;
}

/**
 * Returns the first 20 bits of a hash: one typo in a million goes unnoticed, and then opens
 * nothing.
 */
function checkDigits(secret: Uint8Array): string {
  const hash = createHash('sha256').update('coffer/v1/recovery-code-check\0').update(secret).digest();
  return toDigits(hash.subarray(0, 5)).slice(0, CHECK_DIGITS);
}

function checkedSalt({ kind, algorithm, salt }: RecoveryParameters): Buffer {
  const bytes = Buffer.from(salt, 'base64');
  const isOurs = kind === 'recovery' && algorithm === 'hkdf-sha256';
  if (isOurs && bytes.length === SALT_LENGTH && bytes.toString('base64') === salt) return bytes;
  const message = 'the parameters of the recovery slot are not what coffer writes; restore vault.json from a backup';
  throw new CofferError('KEY_MISMATCH', message);
}

function wrong(what: string): CofferError {
  return new CofferError('RECOVERY_CODE_WRONG', what);
}
