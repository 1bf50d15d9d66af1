import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CofferError } from '../src/errors.ts';
import { reasonOf } from '../src/files/reason.ts';

describe('a CofferError', () => {
  it('puts what happened, why and what to do into one line', () => {
    const error = new CofferError('NOT_SAVED', 'cannot write /a: b; c', {
      reason: 'disk full',
      advice: 'make room',
    });
    expect(error.message).toBe('cannot write /a: b; c: disk full; make room');
    expect(error).toMatchObject({ what: 'cannot write /a: b; c', reason: 'disk full', advice: 'make room' });
  });

  it('always has a reason short enough for a status line', () => {
    const error = new CofferError('VAULT_BUSY', 'another process is changing the vault', { advice: 'try again' });
    expect(error.reason).toBe('another process is changing the vault');
    expect(error.advice).toBe('try again');
    expect(reasonOf(error)).toBe(error.reason);
    expect(new CofferError('FAILED', 'it failed')).toMatchObject({ message: 'it failed', advice: undefined });
  });

  it('keeps its cause, the holder of the session and the words of a provider out of its message', () => {
    const cause = new Error('inner');
    const holder = { pid: 12, since: 34 };
    const error = new CofferError('SESSION_IN_USE', 'in use', { holder, cause, said: 'words' });
    expect(error).toMatchObject({ cause, holder, said: 'words', message: 'in use' });
    expect(new CofferError('FAILED', 'it failed')).not.toHaveProperty('cause');
  });
});

/**
 * Code that parses an error's message although a field says the same. Zod's issues have no such
 * fields.
 */
const parsing =
  /(?<!issue\.)\bmessage(?:\?)?\.(?:split|includes|indexOf|lastIndexOf|match|startsWith|endsWith|replace|slice)\(/;

describe('messages', () => {
  it('are never parsed', () => {
    const sources = ['src', 'native-fallback'].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(folder, name)),
    );
    expect(sources.filter((path) => parsing.test(readFileSync(path, 'utf8')))).toEqual([]);
    expect("const [where] = error.message.split('; ');").toMatch(parsing);
  });
});
