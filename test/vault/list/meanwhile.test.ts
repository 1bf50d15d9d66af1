import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { filled, partsOf } from '../../support/indexed.ts';

describe('a list', () => {
  it('leaves out a file that is removed between its stat and its opening', async () => {
    const { at, fileIds } = await filled();
    const { place, listing, keys } = await partsOf(at);
    const { path } = place;
    let looks = 0;
    place.path = (fileId) => {
      if (fileId === fileIds[3] && ++looks === 2) rmSync(at.path(fileId));
      return path.call(place, fileId);
    };
    const { listed: rows } = await listing.list(keys);
    expect(looks).toBeGreaterThan(1);
    expect(rows.filter((row) => 'error' in row)).toEqual([]);
    expect(rows).toHaveLength(fileIds.length - 1);
  });
});
