import { CofferError } from '../../errors.ts';
import type { Row } from './row.ts';

/** Minimum length of a UUID prefix, so that a wrong row number doesn't match one by chance. */
const UUID_PREFIX = 4;

/** Maximum candidates named in an error. */
const CANDIDATES = 5;

/**
 * Finds the row that `which` refers to: a row number, `last` (see {@link lastSession}),
 * `_autosave`, an id, a name, or a unique prefix of an id or UUID. Digits are a row number if that
 * row exists, otherwise a prefix if there are at least four: a wrong row number must not match the
 * only session. Row numbers refer to `shown`, the list the user last saw (default: `rows`, the
 * current list). Throws `SESSION_NOT_FOUND`, and `SESSION_AMBIGUOUS` with the candidates.
 */
export function selectRow(which: string, rows: readonly Row[], shown: readonly Row[] = rows): Row {
  const wanted = which.trim();
  if (wanted === '') {
    throw new CofferError('SESSION_NOT_FOUND', 'no session given', {
      advice: '/sessions or coffer sessions lists all sessions',
    });
  }
  const byNumber = /^\d+$/.test(wanted) ? shown.find((row) => row.number === Number(wanted)) : undefined;
  if (byNumber) return present(byNumber, rows, wanted);
  const named = rows.filter((row) => [row.label, row.id, row.uuid, row.fileId].includes(wanted));
  if (named[0]) return named[0];
  if (wanted === 'last' && rows[0]) return lastSession(rows) ?? newest(rows);
  const isPrefix = !/^\d{0,3}$/.test(wanted);
  const candidates = unique(
    rows.filter((row) => row.name === wanted),
    rows.filter((row) => isPrefix && (row.id.startsWith(wanted) || isUuidPrefix(row.uuid, wanted))),
  );
  const [only, second] = candidates;
  if (only && !second) return only;
  if (only) {
    const names = candidates.slice(0, CANDIDATES).map((row) => row.id);
    if (candidates.length > CANDIDATES) names.push('…');
    throw new CofferError('SESSION_AMBIGUOUS', `${wanted} could be any of ${candidates.length}: ${names.join(', ')}`);
  }
  throw new CofferError('SESSION_NOT_FOUND', `no session ${wanted}`, {
    advice: '/sessions or coffer sessions lists all sessions',
  });
}

function isUuidPrefix(uuid: string, wanted: string): boolean {
  return wanted.length >= UUID_PREFIX && uuid.startsWith(wanted.toLowerCase());
}

/**
 * Returns the session to resume by default: the one used last that no process holds. Never returns
 * a snapshot. This is the newest session unless the clock was wrong: `_autosave` points at the
 * session begun or resumed last, so another session that was begun after the last step of that one,
 * or is dated later than `now`, must have been used before it.
 */
export function lastSession(rows: readonly Row[], now: number = Date.now()): Row | undefined {
  const free = rows.filter((row) => row.kind === 'session' && row.held === undefined && row.unreadable === undefined);
  const dated = free[0] && newest(free);
  const pointed = free.find((row) => row.autosave);
  if (dated === undefined || pointed === undefined) return dated;
  return dated.begun > pointed.updated || dated.updated > now ? pointed : dated;
}

/** Returns the current row for one that was shown before. */
function present(row: Row, rows: readonly Row[], wanted: string): Row {
  const now = rows.find((candidate) => candidate.fileId === row.fileId);
  if (now) return now;
  throw new CofferError('SESSION_NOT_FOUND', `session ${wanted} of the list, ${row.id}, no longer exists`, {
    advice: 'list the sessions again',
  });
}

function newest(rows: readonly Row[]): Row {
  return rows.reduce((latest, row) => (row.updated > latest.updated ? row : latest));
}

/** Prefers matching names to matching prefixes. */
function unique(named: Row[], prefixed: Row[]): Row[] {
  return named.length > 0 ? named : prefixed;
}
