import { randomUUID } from 'node:crypto';
import { CofferError, isCofferError } from '../../errors.ts';
import { Room } from '../../vault/file/room.ts';
import type { Vault } from '../../vault/vault.ts';
import { newId, takenIds } from '../change/snapshot.ts';
import { type BrokenFile, brokenFiles } from '../event/attachment.ts';
import { faultIn } from '../event/check.ts';
import { type Event, encodeEvents, isKnown, type NewEvent } from '../event/event.ts';
import { DEEPEST } from '../event/json.ts';
import { reread } from '../event/lines.ts';
import { checkName, checkTagBytes } from '../event/name.ts';
import { encodeSummary, summarize } from '../list/summary.ts';
import { revocations } from '../permissions.ts';
import { emptyState, fold, IMPORTED } from '../state.ts';
import { renumber } from './renumber.ts';

/** Version of the export format that is written and read. */
const VERSION = 1;

/** Maximum bytes of an import, because it is held in memory as a whole. */
export const IMPORT_LIMIT: number = 256 * 1024 * 1024;

/** UTF-16 units of text between checks for free memory. */
const ASK_EVERY = 1024 * 1024;

/**
 * Maximum UTF-16 units of an id, which is copied into the list. An id with a name of a hundred
 * characters outside the BMP has at least 217.
 */
const ID_LIMIT = 256;
const REASON_LIMIT = 200;

/** An exported session, every line validated. */
export interface ImportedFile {
  readonly uuid: string;
  readonly id: string;
  readonly name: string | undefined;
  readonly events: readonly Event[];
}

/** The result of an import. */
export interface Imported {
  readonly id: string;
  readonly uuid: string;
  /** Number of user and assistant messages. */
  readonly messages: number;
  /** Number of events. */
  readonly events: number;
  /** Permission grants that were revoked: the author of the file doesn't decide them here. */
  readonly revoked: readonly string[];
  /** Files in its messages that can't be sent to a model, which gets only their names. */
  readonly broken: readonly BrokenFile[];
}

/**
 * Parses coffer's JSONL. Throws `IMPORT_INVALID` naming the line and the fault, `NEWER_VERSION`,
 * `TOO_LARGE`.
 */
export function readImport(text: string): ImportedFile {
  const lines = text.replace(/\n$/, '').split('\n');
  const [first = ''] = lines;
  const header = readHeader(first, text);
  const events: Event[] = [];
  const room = new Room('the import');
  let asked = 0;
  let length = 0;
  for (const [at, line] of lines.entries()) {
    length += line.length;
    if (length >= asked) {
      asked = length + ASK_EVERY;
      room.require(Math.max(line.length, ASK_EVERY), text.length - length);
    }
    if (at > 0) events.push(readEvent(line, at + 1, events));
  }
  if (events.every(({ type }) => type !== 'begin'))
    throw invalid(lines.length, 'the file ends before the session begins');
  return { ...header, events };
}

/**
 * Saves an exported session as a new session, whose parent is the exported one, with its name, tags
 * and counts, in one save. `from` describes its origin. Durable when it resolves. Throws `KEY_*`,
 * `NOT_SAVED`, `VAULT_BUSY`.
 */
export async function importSession(vault: Vault, file: ImportedFile, from: string): Promise<Imported> {
  const { events, revoked } = beginAgain(file, from);
  const state = fold(emptyState, events);
  const { uuid, name, messageCount: messages } = state;
  let id = '';
  await vault.writing.snapshot((siblings) => {
    id = newId(Date.now(), undefined, takenIds(siblings()));
    const summary = encodeSummary(summarize(state, { kind: 'session', id, uuid, name }));
    return { lines: encodeEvents(events), summary };
  });
  return { id, uuid, messages, events: events.length, revoked, broken: brokenFiles(state.messages) };
}

function readHeader(line: string, text: string): Omit<ImportedFile, 'events'> {
  const header = parse(line, 1, text);
  const version = header['coffer'];
  if (!Number.isInteger(version) || (version as number) < 1 || header['type'] !== 'session')
    throw invalid(1, foreign(header));
  if ((version as number) > VERSION) {
    throw new CofferError(
      'NEWER_VERSION',
      `the file was written by a newer coffer (format ${version}, this version reads ${VERSION})`,
    );
  }
  const { uuid, id = uuid, name } = header;
  if (typeof uuid !== 'string' || uuid.length > ID_LIMIT) throw invalid(1, 'uuid is not a valid id');
  if (typeof id !== 'string' || id.length > ID_LIMIT) throw invalid(1, 'id is not a valid id');
  if (name === undefined || name === null) return { uuid, id, name: undefined };
  if (typeof name !== 'string') throw invalid(1, 'name is not a string');
  requireValid(1, () => checkName(name));
  return { uuid, id, name };
}

function parse(line: string, row: number, whole = line): Record<string, unknown> {
  if (depthOf(line) > DEEPEST) throw invalid(row, `it is nested deeper than ${DEEPEST} levels`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    if (row === 1 && isJson(whole)) throw invalid(1, foreignDocument(whole));
    throw invalid(row, line.trim() === '' ? 'it is empty' : 'it is not JSON', cause);
  }
  if (Array.isArray(value)) throw invalid(row, row === 1 ? foreignDocument(line) : 'it is not a JSON object');
  if (typeof value !== 'object' || value === null) throw invalid(row, 'it is not a JSON object');
  return value as Record<string, unknown>;
}

function readEvent(line: string, row: number, before: readonly Event[]): Event {
  const value = parse(line, row);
  const fault = faultIn(value);
  if (fault !== undefined) throw invalid(row, `it is not a coffer event: ${fault.field} must ${fault.must}`);
  const event = withoutOffer(reread(value as Event));
  const last = before.at(-1)?.id ?? 0;
  if (event.id <= last) throw invalid(row, `its id ${event.id} must be above ${last}, the previous id`);
  const isEarly = event.type === 'message' && before.every(({ type }) => type !== 'begin');
  if (isEarly) throw invalid(row, 'a message before the session begins');
  if (!isKnown(event)) return event;
  if (event.type === 'name') requireValid(row, () => checkName(event.name));
  if (event.type === 'tags') {
    for (const tag of event.tags) requireValid(row, () => checkName(tag));
    requireValid(row, () => checkTagBytes(event.tags));
  }
  return event;
}

/** Returns an upper bound of the nesting depth of JSON, without parsing it. */
function depthOf(line: string): number {
  let depth = 0;
  let most = 0;
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const letter = line.charCodeAt(at);
    if (letter === 0x5c) at++;
    else if (letter === 0x22) quoted = !quoted;
    else if (quoted) continue;
    else if (letter === 0x7b || letter === 0x5b) most = Math.max(most, ++depth);
    else if (letter === 0x7d || letter === 0x5d) depth--;
  }
  return most;
}

function isJson(text: string): boolean {
  try {
    return depthOf(text) <= DEEPEST && JSON.parse(text) !== undefined;
  } catch {
    return false; // the error then names the line that isn't JSON
  }
}

const HINT = 'coffer export --format jsonl writes what import reads';

function foreignDocument(text: string): string {
  if (/^\s*\[/.test(text)) return `a JSON array, such as ChatGPT exports, not coffer's JSONL; ${HINT}`;
  const isOurs = /"events":/.test(text) && /"uuid":/.test(text);
  return `a JSON object ${isOurs ? 'from coffer export --format json' : 'from another program'}, not coffer's JSONL; ${HINT}`;
}

/** Describes an object that isn't a header of coffer's JSONL. */
function foreign(header: Record<string, unknown>): string {
  const has = (...names: string[]): boolean => names.some((name) => name in header);
  if (has('sessionId', 'parentUuid', 'leafUuid')) return `a transcript of Claude Code, not coffer's JSONL; ${HINT}`;
  if (has('mapping', 'conversation_id')) return `an export of ChatGPT, not coffer's JSONL; ${HINT}`;
  if (has('events') && has('uuid')) return foreignDocument(JSON.stringify(header));
  if (has('id') && has('ts')) return 'the first line, which describes the session, is missing';
  return `not the first line of coffer's JSONL; ${HINT}`;
}

function requireValid(row: number, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!isCofferError(error, 'NAME_INVALID')) throw error;
    throw invalid(row, error.message, error);
  }
}

function invalid(row: number, what: string, cause?: unknown): CofferError {
  return new CofferError('IMPORT_INVALID', `line ${row}: ${what}`, { advice: 'nothing was imported', cause });
}

/** Drops `offered`: the author of the file doesn't decide whether an AGENTS.md is used here. */
function withoutOffer(event: Event): Event {
  if (!isKnown(event) || event.type !== 'instructions') return event;
  const { offered: _, ...rest } = event;
  return rest;
}

/**
 * Turns the events into those of a new session, as salvage does. The new `begin` directly follows
 * that of the exported session, so that its counts are kept.
 */
function beginAgain(file: ImportedFile, from: string): { events: Event[]; revoked: string[] } {
  const { directory, branch, worktree, project, name, status, statusReason } = fold(emptyState, file.events);
  const parent = {
    uuid: file.uuid,
    id: file.id,
    reason: `${IMPORTED}${from}`.slice(0, REASON_LIMIT).toWellFormed(),
  };
  const begin: NewEvent = { type: 'begin', uuid: randomUUID(), directory, branch, worktree, project, parent };
  const at = file.events.findLastIndex(({ type }) => type === 'begin') + 1;
  // `begin` has the final directory; a `move` would mean that this vault's user has chosen it.
  const after = file.events.slice(at).filter(({ type }) => type !== 'move');
  const begun = renumber([...file.events.slice(0, at), begin, ...after], Date.now());
  // Fold the events as they will be read: without the moves, a grant may apply to another directory
  // than in the file, where the revocation in the file doesn't apply.
  const { permissions } = fold(emptyState, begun);
  const revoked = permissions.flatMap(({ rule, decision }) => (decision === 'allow' ? [rule] : []));
  const added = revocations(permissions);
  if (file.name !== undefined && name === undefined) added.push({ type: 'name', name: file.name });
  // Recorded with the current time: otherwise retention might delete the session at once.
  added.push({ type: 'status', status, reason: statusReason });
  return { events: renumber([...begun, ...added], Date.now()), revoked };
}
