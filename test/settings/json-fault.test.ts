import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findJsonFault } from '../../src/settings/json-fault.ts';

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // it is not valid JSON
  }
}

describe('findJsonFault', () => {
  it.each([
    ['a comma too many', '{\n  "a": 1,\n}', 3, 1],
    ['a word that is none', '{\n  "a": tru\n}', 2, 8],
    ['a missing end', '{"a": [1, 2', 1, 12],
    ['something behind the end', '{} x', 1, 4],
    ['nothing at all', '', 1, 1],
    ['a line feed in a string', '{"a": "b\n"}', 1, 7],
    ['a comment', '// x\n{}', 1, 1],
  ])('finds %s', (_, text, line, column) => {
    expect(findJsonFault(text)).toEqual({ line, column });
  });

  it('finds a fault exactly when JSON.parse throws', () => {
    const broken = fc
      .tuple(
        fc.json(),
        fc.nat(60),
        fc.constantFrom('', ',', '"', '}', 'x', '\\', '\n', '\u0001', '\u0080', '0', '-', '.'),
      )
      .map(([json, at, mark]) => json.slice(0, at) + mark + json.slice(at + 1));
    fc.assert(
      fc.property(broken, (text) => (findJsonFault(text) === undefined) === parses(text)),
      { numRuns: 2000 },
    );
  });
});
