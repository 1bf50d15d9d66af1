import { describe, expect, it } from 'vitest';
import { dialects } from './dialects.ts';
import { PATHS, startProvider } from './server.ts';

const cases = dialects.flatMap((dialect) =>
  dialect.rules.map((rule) => [dialect.title, rule.refused, dialect, rule] as const),
);

describe('the rules of a dialect', () => {
  it.each(cases)('%s refuses %s', async (_, __, dialect, rule) => {
    await using server = await startProvider(dialect);
    const url = new URL(PATHS[dialect.protocol], server.baseURL);
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(rule.example) });
    expect(response.status).toBe(rule.status ?? 400);
    expect(dialect.rules.filter(({ breaks }) => breaks(rule.example))).toEqual([rule]);
  });

  it('each have a source', () => {
    for (const [, , , { source }] of cases) expect(source).toMatch(/^https:\/\/[^ ]+$/);
  });
});
