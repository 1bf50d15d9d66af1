import { CofferError } from '../../errors.ts';
import type { Row } from './row.ts';

/** From so many characters on a prefix of a UUID counts: a number that is no row must not hit one by chance. */
const UUID_PREFIX = 4;

/** How many candidates an ambiguous prefix names. */
const CANDIDATES = 5;

/**
 * Finds the row that `which` means: a row number, `last`, `_autosave`, an id, a name, or a unique prefix of
 * an id or a UUID. `last` is what {@link lastSession} finds. Digits are a row if that row exists, else, from four digits on, a prefix: a wrong row number does not
 * mean the one session there is. `shown` is the list that the person last saw, whose numbers count; `rows` is what there
 * is now.
 * Throws `SESSION_NOT_FOUND`, and `SESSION_AMBIGUOUS` with the candidates.
 */
export function selectRow(which: string, rows: readonly Row[], shown: readonly Row[] = rows): Row {
  const wanted = which.trim();
  if (wanted === '') {
    throw new CofferError('SESSION_NOT_FOUND', 'no session without a name', {
      advice: '/sessions or coffer sessions lists what there is',
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
    advice: '/sessions or coffer sessions lists what there is',
  });
}

function isUuidPrefix(uuid: string, wanted: string): boolean {
  return wanted.length >= UUID_PREFIX && uuid.startsWith(wanted.toLowerCase());
}

/**
 * The session to go on with: the one used last that no process holds. Snapshots are asked for by name. That is the newest, but for a clock
 * that went wrong: `_autosave` points to the session begun or resumed last, so another one that was begun after its last step, or
 * is dated later than `now`, was used before it.
 */
export function lastSession(rows: readonly Row[], now: number = Date.now()): Row | undefined {
  const free = rows.filter((row) => row.kind === 'session' && row.held === undefined && row.unreadable === undefined);
  const dated = free[0] && newest(free);
  const pointed = free.find((row) => row.autosave);
  if (dated === undefined || pointed === undefined) return dated;
  return dated.begun > pointed.updated || dated.updated > now ? pointed : dated;
}

/** The row as it is now, of a number that was shown before. */
function present(row: Row, rows: readonly Row[], wanted: string): Row {
  const now = rows.find((candidate) => candidate.fileId === row.fileId);
  if (now) return now;
  throw new CofferError('SESSION_NOT_FOUND', `session ${wanted} of the list, ${row.id}, is gone`, {
    advice: 'list them again',
  });
}

function newest(rows: readonly Row[]): Row {
  return rows.reduce((latest, row) => (row.updated > latest.updated ? row : latest));
}

/** The names that match, and where none does the prefixes. */
function unique(named: Row[], prefixed: Row[]): Row[] {
  return named.length > 0 ? named : prefixed;
}
