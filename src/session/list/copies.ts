import { isCofferError } from '../../errors.ts';
import { isKnown } from '../event/event.ts';
import type { Sessions } from '../sessions.ts';
import type { Row } from './row.ts';

/** Finds the rows that hold words of `rows` besides themselves: snapshots of them, and conversations that went on from those. */
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
 * The conversations whose events a file holds: each began once. One that went on from nothing holds its own alone, which the list tells;
 * the others are few, and opened. Of a file that can't be read nothing is known.
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
