import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { makePlace } from '../support/coffer.ts';
import { installPacked } from './packed.ts';
import { rowsB } from './rows-b.ts';
import { rowsCD } from './rows-c-d.ts';
import { rowsEF } from './rows-e-f.ts';

const rows = [...rowsB, ...rowsCD, ...rowsEF];

let folder: string;
let program: string;

beforeEach(requirePosix);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'coffer-packed-'));
  program = installPacked(folder);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

describe('the packed coffer', () => {
  it.each(rows.map((row) => [row.row, row.about, row] as const))('does %s: %s', async (_row, _about, row) => {
    await using place = await makePlace({ program, ...(row.settings && { settings: row.settings }) });
    await row.drive(place);
  });

  it('is tested for every row of the everyday commands, once', () => {
    const range = (letter: string, last: number): string[] =>
      Array.from({ length: last }, (_, at) => `${letter}${at + 1}`);
    const wanted = [...range('B', 6), ...range('C', 3), ...range('D', 7), 'D11', ...range('E', 4), 'F9', 'F12'];
    expect(rows.map(({ row }) => row)).toEqual(wanted);
  });
});
