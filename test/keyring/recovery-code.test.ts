import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isCofferError } from '../../src/errors.ts';
import { newRecoveryParameters, RecoveryCode } from '../../src/keyring/recovery-code.ts';

const vector = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/recovery-slot.json'), 'utf8'));
const secret = Buffer.from(vector.secret, 'hex');
const bytes = fc.uint8Array({ minLength: 20, maxLength: 20 });

/** Returns the message of the error that reading a text throws. */
function mistakeIn(text: string): string {
  try {
    RecoveryCode.read(text);
  } catch (error) {
    expect(error).toMatchObject({ name: 'CofferError', code: 'RECOVERY_CODE_WRONG' });
    return (error as Error).message;
  }
  return 'none';
}

describe('RecoveryCode', () => {
  it('is formatted and parsed as another implementation does it', () => {
    expect(RecoveryCode.from(secret).show()).toBe(vector.code);
    expect(RecoveryCode.read(vector.code).slotKey(vector.slot).export().toString('hex')).toBe(vector.slotKey);
  });

  it('has nine groups of four and differs each time', () => {
    const shown = RecoveryCode.generate().show();
    expect(shown).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){8}[0-9A-HJKMNP-TV-Z]{4}$/);
    expect(RecoveryCode.generate().show()).not.toBe(shown);
  });

  it('survives a round trip through its shown form, whatever its bytes', () => {
    fc.assert(
      fc.property(bytes, (random) => {
        const code = RecoveryCode.from(random);
        return RecoveryCode.read(code.show()).equals(code);
      }),
    );
  });

  it('is read in any case, with spaces, line ends and dashes anywhere, and with lookalikes of digits', () => {
    const code = RecoveryCode.from(Buffer.from('0040100401'.repeat(4), 'hex'));
    const shown = code.show();
    expect(shown).toMatch(/^(0101-){8}/);
    for (const text of [
      shown.toLowerCase(),
      shown.replaceAll('-', ''),
      shown.replaceAll('-', ' – '),
      ` ${shown.slice(0, 20)}\r\n\t${shown.slice(20)}\n`,
      [...shown].join('\u2011'),
      shown.replaceAll('0', 'O').replaceAll('1', 'I'),
      shown.replaceAll('0', 'o').replaceAll('1', 'l'),
      shown.replaceAll('1', 'i'),
    ]) {
      expect(RecoveryCode.read(text).equals(code)).toBe(true);
    }
  });

  it.each([
    ['one short', vector.code.slice(0, -1), 'a recovery code has 36 characters, this one has 35'],
    ['one long', `${vector.code}0`, 'a recovery code has 36 characters, this one has 37'],
    ['nothing', '', 'a recovery code has 36 characters, this one has 0'],
    ['a letter that none has', vector.code.replace('W', 'u'), 'character 9, "u", is not valid in a recovery code'],
    ['a sign', vector.code.replace('-', '*'), 'character 5, "*", is not valid in a recovery code'],
    ['a letter beyond ASCII', vector.code.replace('S', 'ſ'), 'character 2, U+017F, is not valid in a recovery code'],
    ['an escape', `\u001b${vector.code.slice(1)}`, 'character 1, U+001B, is not valid in a recovery code'],
    ['half a character', `\ud800${vector.code}`, 'character 1, U+D800, is not valid in a recovery code'],
    ['a character in two halves', `${vector.code}🦊`, 'character 37, U+1F98A, is not valid in a recovery code'],
  ])('names the mistake: %s', (_, text, message) => {
    expect(mistakeIn(text)).toBe(message);
  });

  it('detects any mistyped character and any two swapped neighbours, and reveals nothing of the code', () => {
    const digits = vector.code.replaceAll('-', '');
    const wrong = 'a character of the recovery code is mistyped, or two are swapped';
    for (let at = 0; at < digits.length; at++) {
      const other = digits[at] === 'A' ? 'B' : 'A';
      expect(mistakeIn(digits.slice(0, at) + other + digits.slice(at + 1))).toBe(wrong);
      const swapped = digits.slice(0, at) + (digits[at + 1] ?? '') + digits[at] + digits.slice(at + 2);
      if (swapped !== digits) expect(mistakeIn(swapped)).toBe(wrong);
    }
  });

  it('throws nothing else, whatever the text', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0x10ffff), { maxLength: 50 }), (points) => {
        const text = String.fromCodePoint(...points);
        try {
          RecoveryCode.read(text);
          return false;
        } catch (error) {
          return isCofferError(error, 'RECOVERY_CODE_WRONG');
        }
      }),
    );
  });

  it('is not shown by what prints objects', () => {
    const code = RecoveryCode.from(secret);
    for (const shown of [inspect(code, { showHidden: true, depth: 9 }), JSON.stringify(code), String(code)]) {
      expect(shown).not.toContain(vector.code.slice(0, 4));
      expect(shown).not.toContain('8e 56');
      expect(shown).not.toContain('142');
    }
  });

  it('has 20 bytes, which it copies', () => {
    expect(() => RecoveryCode.from(Buffer.alloc(19))).toThrow(RangeError);
    const given = Buffer.from(secret);
    const code = RecoveryCode.from(given);
    given.fill(0);
    expect(code.show()).toBe(vector.code);
  });

  it('derives another slot key for another salt, and none for invalid parameters', () => {
    const code = RecoveryCode.from(secret);
    const parameters = newRecoveryParameters();
    expect(Buffer.from(parameters.salt, 'base64')).toHaveLength(16);
    expect(newRecoveryParameters().salt).not.toBe(parameters.salt);
    expect(code.slotKey(parameters).equals(code.slotKey(vector.slot))).toBe(false);
    for (const wrong of [{ salt: 'AAAA' }, { salt: '' }, { algorithm: 'md5' }, { kind: 'passphrase' }]) {
      expect(() => code.slotKey({ ...parameters, ...wrong } as typeof parameters)).toThrow(/not what coffer writes/);
    }
  });
});
