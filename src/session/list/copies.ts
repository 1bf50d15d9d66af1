import { isCofferError } from '../../errors.ts';
import { isKnown } from '../event/event.ts';
import type { Sessions } from '../sessions.ts';
import type { Row } from './row.ts';

/**
 * Finds the other rows that contain text of `rows`: their snapshots, and the sessions that continue
 * from either. Skips files that can't be read.
 */
export async function copiesOf(
  sessions: Pick<Sessions, 'read'>,
  rows: readonly Row[],
  all: readonly Row[],
): Promise<Row[]> {
  const fileIds = new Set(rows.map(({ fileId }) => fileId));
  const origins = new Set((await Promise.all(rows.map((row) => originsOf(sessions, row)))).flat());
  const copies: Row[] = [];
  for (const row of all) {
    if (fileIds.has(row.fileId)) continue;
    if ((await originsOf(sessions, row)).some((uuid) => origins.has(uuid))) copies.push(row);
  }
  return copies;
}

/**
 * Returns the UUIDs of the conversations whose events a file holds; each has one `begin` event. A
 * session without a parent holds only its own, as its row tells. The others are few and are opened.
 * Returns none for a file that can't be read.
 */
async function originsOf(sessions: Pick<Sessions, 'read'>, row: Row): Promise<readonly string[]> {
  if (row.unreadable !== undefined) return [];
  if (row.kind === 'session' && row.parent === undefined) return [row.uuid];
  try {
    const { events } = await sessions.read(row);
    return events.flatMap((event) => (isKnown(event) && event.type === 'begin' ? [event.uuid] : []));
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return [];
  }
}
