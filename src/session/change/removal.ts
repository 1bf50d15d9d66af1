import type { Row } from '../list/row.ts';
import type { Sessions } from '../sessions.ts';

/**
 * Runs `work`, which deletes rows, and leaves behind what is kept for speed without anything of them: each deletion drops all of that, and
 * making it anew from a hundred thousand files takes minutes. Throws what `work` and {@link Sessions.list} throw.
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
  await sessions.list(); // it knows the others still, and writes them down
}
