import { createHash, createSecretKey, hkdfSync, type KeyObject, randomFillSync, timingSafeEqual } from 'node:crypto';
import { CofferError } from '../errors.ts';

/** How a recovery code becomes the key of a slot. Kept in the clear beside the wrapped key. */
export interface RecoveryParameters {
  readonly kind: 'recovery';
  readonly algorithm: 'hkdf-sha256';
  /** base64, 16 bytes */
  readonly salt: string;
}

/** Crockford's base32 digits: none that is taken for another, and no U. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** What people write for a digit, or copy from a bad print. */
const LOOKALIKES: Readonly<Record<string, string>> = { O: '0', I: '1', L: '1' };

const SECRET_LENGTH = 20;
const SECRET_DIGITS = 32;
const CHECK_DIGITS = 4;
const ALL_DIGITS: number = SECRET_DIGITS + CHECK_DIGITS;
const SALT_LENGTH = 16;
const SLOT_KEY_LENGTH = 32;

/** What separates or wraps the groups of a code, in any writing: spaces, line ends, dashes. */
const SEPARATORS = /[\s\p{Pd}\u2212]/gu;

/**
 * A second way in that a person keeps on paper: 160 random bits, too many to guess, so that no slow derivation is needed.
 * Written as 36 characters, the last four of which (20 bits) tell a slip of the pen from a code that is not this vault's.
 * Neither `console.log` nor `JSON.stringify` shows it.
 */
export class RecoveryCode {
  readonly #secret: Buffer;

  private constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** Makes a new code from the system's random source. */
  static generate(): RecoveryCode {
    return new RecoveryCode(randomFillSync(Buffer.allocUnsafeSlow(SECRET_LENGTH)));
  }

  /**
   * Takes a code from its 20 bytes, for tests and vectors. It copies them: the caller keeps its own and wipes them.
   * Throws RangeError unless there are 20.
   */
  static from(bytes: Uint8Array): RecoveryCode {
    if (bytes.length !== SECRET_LENGTH)
      throw new RangeError(`a recovery code has ${SECRET_LENGTH} bytes, not ${bytes.length}`);
    const secret = Buffer.allocUnsafeSlow(SECRET_LENGTH);
    secret.set(bytes);
    return new RecoveryCode(secret);
  }

  /**
   * Reads a code as a person writes it: in any case, with spaces and dashes anywhere, O for 0, I and L for 1.
   * Throws `RECOVERY_CODE_WRONG`, which names the mistake and shows nothing of the code but a character that none can have.
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

  /** Tells whether something that is no code may have been meant as one: it is about as long. */
  static isLike(text: string): boolean {
    return Math.abs([...text.replace(SEPARATORS, '')].length - ALL_DIGITS) <= CHECK_DIGITS;
  }

  /** Writes the code for a person: nine groups of four, with dashes. A secret: show it once, keep it nowhere. */
  show(): string {
    const digits = toDigits(this.#secret) + checkDigits(this.#secret);
    return (digits.match(/.{4}/g) ?? []).join('-');
  }

  /** Tells whether it is the same code. */
  equals(other: RecoveryCode): boolean {
    return timingSafeEqual(this.#secret, other.#secret);
  }

  /** Derives the key of a slot. Throws `KEY_MISMATCH` where the parameters are not those of a recovery slot. */
  slotKey(parameters: RecoveryParameters): KeyObject {
    const info = 'coffer/v1/recovery-code';
    const derived = Buffer.from(hkdfSync('sha256', this.#secret, checkedSalt(parameters), info, SLOT_KEY_LENGTH));
    const key = createSecretKey(derived);
    derived.fill(0);
    return key;
  }
}

/** Makes parameters for a new slot: a fresh salt. */
export function newRecoveryParameters(): RecoveryParameters {
  const salt = randomFillSync(Buffer.alloc(SALT_LENGTH)).toString('base64');
  return { kind: 'recovery', algorithm: 'hkdf-sha256', salt };
}

/** The digits in their one form. Throws `RECOVERY_CODE_WRONG` at the first character that none has. */
function digitsOf(text: string): string {
  const characters = [...text.replace(SEPARATORS, '')];
  return characters.map(digitOf).join('');
}

function digitOf(character: string, at: number): string {
  // Letters of ASCII only: others have upper cases that are digits here, and are not what anybody was shown.
  const upper = /^[a-z]$/.test(character) ? character.toUpperCase() : character;
  const digit = LOOKALIKES[upper] ?? upper;
  if (digit.length === 1 && DIGITS.includes(digit)) return digit;
  throw wrong(`character ${at + 1}, ${named(character)}, is in no recovery code`);
}

function named(character: string): string {
  if (/^[!-~]$/.test(character)) return `"${character}"`;
  const point = character.codePointAt(0) ?? 0;
  return `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Five bits a digit, the first bit first. */
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

/** The first 20 bits of a hash: of a million mistakes one goes unseen, and is not this vault's code then. */
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
