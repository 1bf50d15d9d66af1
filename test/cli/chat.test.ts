import { describe, expect, it } from 'vitest';
import { reasonOf } from '../../src/cli/chat.ts';
import { CofferError, type ErrorCode } from '../../src/errors.ts';

describe('reasonOf', () => {
  it.each<[ErrorCode, string, string]>([
    ['NOT_SAVED', 'cannot write /a: b/c: disk full; the copy before is untouched', 'disk full'],
    [
      'KEY_ABSENT',
      'no key can be kept: the bus is gone: ENOENT; start it, or use a passphrase',
      'the bus is gone: ENOENT',
    ],
    ['VAULT_BUSY', 'another process is changing the vault; try again', 'another process is changing the vault'],
  ])('of %s is what a status line can hold', (code, message, reason) => {
    expect(reasonOf(new CofferError(code, message))).toBe(reason);
  });
});
