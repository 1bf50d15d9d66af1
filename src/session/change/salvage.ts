import { randomUUID } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../errors.ts';
import { Room } from '../../vault/file/room.ts';
import { isThere, locateFile, type SalvagedFile, salvageFile, sealedPath } from '../../vault/file/salvage.ts';
import type { Vault } from '../../vault/vault.ts';
import { type Event, encodeEvents, MergedEvents, type NewEvent } from '../event/event.ts';
import { readLines } from '../event/lines.ts';
import { renumber } from '../import/renumber.ts';
import type { Row } from '../list/row.ts';
import { decodeSummary, encodeSummary, type Summary, summarize } from '../list/summary.ts';
import { revocations } from '../permissions.ts';
import { emptyState, fold } from '../state.ts';
import { newId, takenIds } from './snapshot.ts';

/**
 * A range of lost events, by their ids in the damaged file. `last` is undefined if it is unknown
 * how many there were.
 */
export interface Lost {
  readonly first: number;
  readonly last: number | undefined;
}

/** The result of a salvage. */
export interface Salvage {
  /** Id of the new session. */
  readonly id: string;
  /** Number of user and assistant messages that were restored. */
  readonly messages: number;
  /** Number of user and assistant messages before the damage; undefined if unknown. */
  readonly before: number | undefined;
  readonly lost: readonly Lost[];
  /** Whether the file is damaged; if not, it is an intact copy under another name. */
  readonly damaged: boolean;
  /** Path of the salvaged file, which is left unchanged. */
  readonly path: string;
}

/**
 * Restores the events that verify in a damaged file, or in a copy under another name, as a new
 * session whose parent is the original one. `which` is a path, a file id, a name in quarantine or
 * of a conflicting copy, or anything that `find` accepts. The damaged file is unchanged. Durable
 * when it resolves. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `UNAUTHENTIC` if nothing
 * verifies, `FAILED` if nothing is damaged, `KEY_*`, `NEWER_VERSION`, `NOT_SAVED`, `TOO_LARGE`.
 */
export async function salvageSession(
  vault: Vault,
  which: string,
  find: (which: string) => Promise<Row>,
): Promise<Salvage> {
  const file = await salvageFile(vault, await pathOf(vault, which, find));
  const { events, lost } = gather(file);
  if (file.opens && lost.length === 0) {
    throw new CofferError('FAILED', `${file.fileId} is not damaged`, {
      advice: `coffer resume ${file.fileId} resumes it`,
    });
  }
  const before = file.isLast ? summaryOf(file)?.messages : undefined;
  const begun = beginAgain(file, withNotes(events, lost));
  const state = fold(emptyState, begun);
  let id = '';
  await vault.writing.snapshot((siblings) => {
    id = newId(Date.now(), undefined, takenIds(siblings()));
    const { uuid, name } = state;
    return {
      lines: encodeEvents(begun),
      summary: encodeSummary(summarize(state, { kind: 'session', id, uuid, name })),
    };
  });
  const damaged = !file.intact || lost.length > 0;
  return { id, messages: state.messageCount, before, lost, damaged, path: file.path };
}

/** Describes a range of lost events. The text is recorded in the salvaged session. */
export function describeLost({ first, last }: Lost): string {
  if (last === undefined) return `what came from event ${first} on is lost`;
  return first === last ? `event ${first} is lost` : `events ${first} to ${last} are lost`;
}

async function pathOf(vault: Vault, which: string, find: (which: string) => Promise<Row>): Promise<string> {
  const located = locateFile(vault.directory, which);
  if (located !== undefined) return located;
  try {
    return sealedPath(vault.directory, (await find(which)).fileId);
  } catch (error) {
    if (isCofferError(error, 'SESSION_NOT_FOUND') && isThere(which)) return resolve(which);
    throw error;
  }
}

/** Reads the events around the holes and finds the lost ones: ids increase by one. */
function gather(file: SalvagedFile): { events: Event[]; lost: readonly Lost[] } {
  const merged = new MergedEvents();
  const { events } = merged;
  /** Id of the last event before each hole. */
  const holes: number[] = [];
  const room = new Room(`the rest of file ${file.fileId}`);
  for (const lines of file.lines) {
    if (lines === undefined) {
      holes.push(events.at(-1)?.id ?? 0);
      continue;
    }
    room.require(lines.length, 0);
    merged.add(readLines(lines));
  }
  const last = events.at(-1)?.id;
  if (last === undefined)
    throw new CofferError('UNAUTHENTIC', `file ${file.fileId}: none of its events can be verified`);
  let previous = 0;
  const lost: Lost[] = [];
  for (const { id } of events) {
    const isHole = holes.some((hole) => hole >= previous && hole < id);
    if (id > previous + 1 && isHole) lost.push({ first: previous + 1, last: id - 1 });
    previous = id;
  }
  const end = file.isLast ? (summaryOf(file)?.lastEvent ?? 0) : undefined;
  if (holes.some((hole) => hole >= last) && (end ?? last + 1) > last) lost.push({ first: last + 1, last: end });
  return { events, lost };
}

/** Adds an `error` event wherever events are lost. */
function withNotes(events: readonly Event[], lost: readonly Lost[]): Event[] {
  const gaps = [...lost];
  const noteOf = (gap: Lost): Event => {
    const message = `${describeLost(gap)}: the file was damaged`;
    return { id: gap.first, ts: Date.now(), type: 'error', code: 'UNAUTHENTIC', message };
  };
  const noted = events.flatMap((event): Event[] => {
    const isBehind = gaps[0] !== undefined && gaps[0].first < event.id;
    return isBehind ? [...gaps.splice(0, 1).map(noteOf), event] : [event];
  });
  return [...noted, ...gaps.map(noteOf)];
}

/**
 * Turns the events into those of a new session with the same state, renumbered. Restores what only
 * the last summary knows.
 */
function beginAgain(file: SalvagedFile, found: readonly Event[]): Event[] {
  const ts = Date.now();
  const before = fold(emptyState, found);
  const summary = summaryOf(file);
  const directory = before.directory || (summary?.directory ?? '');
  const branch = before.directory === '' ? summary?.branch : before.branch;
  const parent = {
    uuid: before.uuid || (summary?.uuid ?? ''),
    id: summary?.id ?? file.fileId,
    reason: file.intact ? `forked from a copy, ${basename(file.path)}` : `salvaged from ${file.fileId}`,
  };
  const { worktree, project } = before;
  const begin: NewEvent = { type: 'begin', uuid: randomUUID(), directory, branch, worktree, project, parent };
  // The event that revoked a grant may be among those lost.
  const added = revocations(before.permissions);
  if (summary && summary.model !== '' && before.model === '') added.push({ type: 'model', model: summary.model });
  const isNamed = summary?.kind === 'session' && summary.name !== undefined && before.name === undefined;
  if (isNamed && summary.name !== undefined) added.push({ type: 'name', name: summary.name });
  // Always recorded, with the current time: otherwise retention might delete the session at once.
  const isKnown = summary !== undefined && file.isLast && before.status !== summary.status;
  const reason = isKnown ? undefined : before.statusReason;
  added.push({ type: 'status', status: isKnown ? summary.status : before.status, reason });
  // After the damaged session's `begin`, or the note that it is lost, so that its counts are kept.
  const at =
    found.findLastIndex((event) => event.type === 'begin') + 1 || found.findIndex(({ type }) => type !== 'error');
  const events = [...found.slice(0, at), begin, ...found.slice(at), ...added];
  return renumber(events, ts);
}

function summaryOf(file: SalvagedFile): Summary | undefined {
  try {
    return file.summary && decodeSummary(file.summary);
  } catch (error) {
    if (!isCofferError(error, 'UNAUTHENTIC')) throw error;
    return undefined; // optional here: the events contain nearly all of it
  }
}
