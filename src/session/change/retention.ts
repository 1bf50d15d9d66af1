import type { Row } from '../list/row.ts';

/** How long sessions are kept; what is not said sets no limit. */
export interface Policy {
  /** How many unnamed sessions are kept, the newest; the present one is always among them. */
  readonly maxSessions?: number | undefined;
  /** How many days a session is kept after its last use, counted back from the newest session because a clock may be wrong. */
  readonly retentionDays?: number | undefined;
}

/** A row that a policy does not keep, and why. */
export interface Expired {
  readonly row: Row;
  readonly reason: string;
}

const DAY = 86_400_000;

/** Days without a session that are worth a question. */
const LONG_GAP = 30;

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

/**
 * Tells whether the age limit would delete every session except the newest one and those always kept, or everything from before a gap of more
 * than 30 days: more likely, the clock was wrong when the newest were saved. Then the user must be asked first.
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
      `it is ${Math.floor((newest - updated) / DAY)} days older than the newest session, and ${retentionDays} is the limit`,
    ]);
}

/** When the newest session was saved, ignoring files that do not open. */
function newestOf(rows: readonly Row[]): number {
  return rows.reduce((latest, { updated, unreadable }) => (unreadable ? latest : Math.max(latest, updated)), 0);
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
