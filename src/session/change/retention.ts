import type { Row } from '../list/row.ts';

/** A retention policy. Omitted fields set no limit. */
export interface Policy {
  /** Maximum unnamed sessions; the newest are kept. The current session is always among them. */
  readonly maxSessions?: number | undefined;
  /**
   * Maximum days between the last use of a session and that of the newest session. The current time
   * is not used because the clock may be wrong.
   */
  readonly retentionDays?: number | undefined;
}

/** A row to delete under a policy, and the reason. */
export interface Expired {
  readonly row: Row;
  readonly reason: string;
}

const DAY = 86_400_000;

/** Gap between sessions, in days, after which the user is asked before anything is deleted. */
const LONG_GAP = 30;

/**
 * Finds the rows that a policy deletes, oldest first. Always keeps rows that are named, pinned,
 * held by a process, rolled back or unreadable. `now` is milliseconds since 1970.
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
 * Returns why nothing is deleted by age, as a sentence; undefined if nothing is wrong. If a session
 * was saved in the future, the clock was wrong then or is wrong now.
 */
export function clockTrouble(rows: readonly Row[], now: number): string | undefined {
  const row = rows.find(({ updated, unreadable }) => unreadable === undefined && updated > now);
  if (row === undefined) return undefined;
  const then = new Date(row.updated).toISOString();
  return `${row.id} was saved in the future, at ${then}: the clock can't be trusted, so nothing is deleted by age`;
}

/**
 * Tells whether the age limit would delete every session except the newest and those always kept,
 * or everything from before a gap of more than 30 days. The user must then be asked first: more
 * likely, the clock was wrong when the newest sessions were saved.
 */
export function takesAll(rows: readonly Row[], policy: Policy, now: number): boolean {
  const old = new Set(tooOld(rows, policy, now).map(([fileId]) => fileId));
  const newest = newestOf(rows);
  const others = rows.filter((row) => !isKept(row) && row.updated < newest);
  const taken = others.filter(({ fileId }) => old.has(fileId));
  if (taken.length === 0) return false;
  const left = others.filter(({ fileId }) => !old.has(fileId));
  const from = left.reduce((first, { updated }) => Math.min(first, updated), newest);
  return left.length === 0 || from - newestOf(taken) > Math.max(policy.retentionDays ?? 0, LONG_GAP) * DAY;
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
  const newest = newestOf(rows);
  return rows
    .filter(({ updated }) => newest - updated > retentionDays * DAY)
    .map(({ fileId, updated }) => [
      fileId,
      `it is ${Math.floor((newest - updated) / DAY)} days older than the newest session, the limit is ${retentionDays}`,
    ]);
}

/** Returns when the newest session was saved, ignoring unreadable files. */
function newestOf(rows: readonly Row[]): number {
  return rows.reduce((latest, { updated, unreadable }) => (unreadable ? latest : Math.max(latest, updated)), 0);
}

/** Counts the current session even if it is named; other named sessions don't count. */
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
