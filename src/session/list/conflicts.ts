import { CofferError, isCofferError } from '../../errors.ts';
import { type Conflicting, readConflicting } from '../../vault/conflicting.ts';
import type { Vault } from '../../vault/vault.ts';
import { gatherEvents } from '../event/decoding.ts';
import { type Event, isKnown } from '../event/event.ts';
import type { Row } from './row.ts';

/** A conflicting copy: a session file that a sync program left under another name. */
export interface Conflict extends Conflicting {
  /** The session it is a copy of; undefined if that isn't in the vault. */
  readonly of: Row | undefined;
  /** Number of its messages that the session lacks; undefined if either can't be read. */
  readonly more: number | undefined;
  /** The error of reading it, if it can't be read. */
  readonly unreadable: CofferError | undefined;
}

/**
 * Reads the conflicting copies that the last list found, and compares each with its session in
 * `rows`. Throws `KEY_*`.
 */
export async function readConflicts(vault: Vault, rows: readonly Row[]): Promise<Conflict[]> {
  if (vault.conflicting.length === 0) return [];
  const keys = await vault.keys.unlocking.unlock();
  const conflicts: Conflict[] = [];
  for (const copy of vault.conflicting) {
    const of = rows.find(({ fileId }) => fileId === copy.fileId);
    const there = await messagesIn(copy.name, async (onLines) => readConflicting(copy, keys, onLines));
    const unreadable = isCofferError(there) ? there : undefined;
    conflicts.push({ ...copy, of, more: unreadable ? undefined : await countMore(vault, there, of), unreadable });
  }
  return conflicts;
}

/**
 * Describes a conflicting copy in one line: its session, what it has that the session lacks, and
 * what to do. `quoted` is the copy's name, quoted for a shell.
 */
export function describeConflict({ name, fileId, of, more, unreadable }: Conflict, quoted: string): string {
  const session = of?.label === '_autosave' ? '_autosave' : (of?.id ?? fileId);
  const what = `${name} is a conflicting copy of ${session}`;
  if (unreadable !== undefined) return `${what} that can't be opened: ${unreadable.reason}`;
  const salvage = `coffer salvage ${quoted} imports it as a fork`;
  if (of === undefined) return `${what}, which is not in the vault; ${salvage}`;
  if (more === undefined) return `${what}, which can't be opened; ${salvage}`;
  if (more === 0) return `${what}, without messages missing from ${session}; remove it by hand`;
  return `${what}, with ${more === 1 ? '1 message' : `${more} messages`} missing from ${session}; ${salvage}`;
}

/** Returns the error to report for a copy; undefined if the vault has all of its messages. */
export function conflictProblem(conflict: Conflict, quoted: string): CofferError | undefined {
  return conflict.more === 0 ? undefined : new CofferError('FAILED', describeConflict(conflict, quoted));
}

type OnLinesReader = Parameters<typeof gatherEvents>[1];

/** Returns the messages in a file in comparable form, or the error of reading them. */
async function messagesIn(what: string, read: OnLinesReader): Promise<string[] | CofferError> {
  try {
    const { events } = await gatherEvents(what, read);
    return events.flatMap(messageOf);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error;
  }
}

/** Omits the id: two machines assign the same id to different events. */
function messageOf(event: Event): string[] {
  if (!isKnown(event) || event.type !== 'message') return [];
  const { ts, message } = event;
  return message.role === 'user' || message.role === 'assistant' ? [JSON.stringify([ts, message])] : [];
}

async function countMore(
  vault: Vault,
  there: string[] | CofferError,
  of: Row | undefined,
): Promise<number | undefined> {
  if (of === undefined || isCofferError(there)) return undefined;
  const here = await messagesIn(`session ${of.id}`, (onLines) => vault.read(of.fileId, onLines));
  if (isCofferError(here)) return undefined;
  const known = new Set(here);
  return there.filter((message) => !known.has(message)).length;
}
