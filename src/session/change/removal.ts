import type { Row } from '../list/row.ts';
import type { Sessions } from '../sessions.ts';

/**
 * Runs `work`, which deletes `rows`, and then restores the caches without these rows: each deletion
 * drops all caches, and rebuilding them from a hundred thousand files takes minutes. Throws what
 * `work` and {@link Sessions.list} throw.
 */
export async function keepingCaches(
  sessions: Pick<Sessions, 'texts' | 'list'>,
  rows: readonly Pick<Row, 'fileId'>[],
  work: () => Promise<void>,
): Promise<void> {
  if (rows.length === 0) return work();
  const texts = await sessions.texts();
  const putBack = await texts.without(rows.map(({ fileId }) => fileId));
  try {
    await work();
  } finally {
    putBack();
  }
  await sessions.list(); // still has the other rows in memory and writes them to the cache
}
