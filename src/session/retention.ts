import type { Row } from './row.ts';

/** How long sessions are kept; what is not said sets no limit. */
export interface Policy {
  /** How many unnamed sessions are kept, the newest; the present one is always among them. */
  readonly maxSessions?: number | undefined;
  /** How many days a session is kept that nobody went on with. */
  readonly retentionDays?: number | undefined;
}

/** A row that a policy does not keep, and why. */
export interface Expired {
  readonly row: Row;
  readonly reason: string;
}

const DAY = 86_400_000;

/**
 * Finds what a policy does not keep, oldest first. Kept in any case: what has a name or is pinned, what a process holds, and what is
 * not as it was seen or does not open. `now` is milliseconds since 1970.
 */
export function expiredOf(rows: readonly Row[], policy: Policy, now: number): Expired[] {
  const reasons = new Map([...tooOld(rows, policy, now), ...tooMany(rows, policy)]);
  return rows
    .flatMap((row) => {
      const reason = reasons.get(row.fileId);
      return reason === undefined || isKept(row) ? [] : [{ row, reason }];
    })
    .sort((a, b) => a.row.updated - b.row.updated);
}

/**
 * Says why nothing is deleted by age, where that is so: what was saved in the future was saved by a clock that went wrong, or this
 * one does.
 */
export function clockTrouble(rows: readonly Row[], now: number): string | undefined {
  const row = rows.find(({ updated, unreadable }) => unreadable === undefined && updated > now);
  if (row === undefined) return undefined;
  const then = new Date(row.updated).toISOString();
  return `${row.id} was saved in the future, at ${then}: the clock can't be trusted, so nothing is deleted by age`;
}

/** Tells whether a policy keeps everything. */
export function isOff({ maxSessions, retentionDays }: Policy): boolean {
  return maxSessions === undefined && retentionDays === undefined;
}

function isKept(row: Row): boolean {
  if (row.name !== undefined || row.pinned === true || row.held !== undefined) return true;
  return row.unreadable !== undefined || row.rolledBack !== undefined;
}

function tooOld(rows: readonly Row[], { retentionDays }: Policy, now: number): [string, string][] {
  if (retentionDays === undefined || clockTrouble(rows, now) !== undefined) return [];
  return rows
    .filter(({ updated }) => now - updated > retentionDays * DAY)
    .map(({ fileId, updated }) => [
      fileId,
      `nobody went on with it for ${Math.floor((now - updated) / DAY)} days, and ${retentionDays} is the limit`,
    ]);
}

/** The present conversation takes a place whether it has a name or not; others with a name take none. */
function tooMany(rows: readonly Row[], { maxSessions }: Policy): [string, string][] {
  if (maxSessions === undefined) return [];
  const counted = rows.filter((row) => {
    if (row.kind === 'snapshot' || row.unreadable !== undefined) return false;
    return row.autosave || (row.name === undefined && row.pinned !== true);
  });
  return counted
    .sort((a, b) => Number(b.autosave) - Number(a.autosave) || b.updated - a.updated)
    .slice(maxSessions)
    .map(({ fileId }) => [fileId, `it has no name and is not among the newest ${maxSessions}`]);
}
