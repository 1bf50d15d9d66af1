import { CofferError, isCofferError } from '../../errors.ts';
import { type Conflicting, readConflicting } from '../../vault/conflicting.ts';
import type { Vault } from '../../vault/vault.ts';
import { gatherEvents } from '../event/decoding.ts';
import { type Event, isKnown } from '../event/event.ts';
import type { Row } from './row.ts';

/** A copy of a session that a sync program left under another name, and what is in it. */
export interface Conflict extends Conflicting {
  /** What it is a copy of; undefined if that is not in the vault. */
  readonly of: Row | undefined;
  /** How many messages of it that session does not have; undefined if either can't be read. */
  readonly more: number | undefined;
  /** Why it can't be read. */
  readonly unreadable: CofferError | undefined;
}

/** Reads the copies that the last list found, and compares each with its session among `rows`. Throws `KEY_*`. */
export async function readConflicts(vault: Vault, rows: readonly Row[]): Promise<Conflict[]> {
  if (vault.conflicting.length === 0) return [];
  const keys = await vault.unlock();
  const conflicts: Conflict[] = [];
  for (const copy of vault.conflicting) {
    const of = rows.find(({ fileId }) => fileId === copy.fileId);
    const there = await messagesIn(copy.name, async (onLines) => readConflicting(copy, keys, onLines));
    const unreadable = isCofferError(there) ? there : undefined;
    conflicts.push({ ...copy, of, more: unreadable ? undefined : await countMore(vault, there, of), unreadable });
  }
  return conflicts;
}

/** Says what a copy is of, what is in it, and what to do. */
export function describeConflict({ name, fileId, of, more, unreadable }: Conflict, quoted: string): string {
  const session = of?.label === '_autosave' ? '_autosave' : (of?.id ?? fileId);
  const what = `${name} is a conflicting copy of ${session}`;
  if (unreadable !== undefined) return `${what}, and can't be opened: ${unreadable.reason}`;
  const salvage = `coffer salvage ${quoted} brings it in as a fork`;
  if (of === undefined) return `${what}, which is not in the vault; ${salvage}`;
  if (more === undefined) return `${what}, which can't be opened; ${salvage}`;
  if (more === 0) return `${what}, without a message that ${session} does not have; remove it by hand`;
  return `${what}, ${more === 1 ? '1 message' : `${more} messages`} that ${session} does not have; ${salvage}`;
}

/** Returns the error to report for a copy, or undefined if the vault has everything that is in it. */
export function conflictProblem(conflict: Conflict, quoted: string): CofferError | undefined {
  return conflict.more === 0 ? undefined : new CofferError('FAILED', describeConflict(conflict, quoted));
}

type OnLinesReader = Parameters<typeof gatherEvents>[1];

/** Returns the messages in a file in a form to compare, or the error of reading them. */
async function messagesIn(what: string, read: OnLinesReader): Promise<string[] | CofferError> {
  try {
    const { events } = await gatherEvents(what, read);
    return events.flatMap(messageOf);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error;
  }
}

/** Leaves out the id: two machines give the same one to different events. */
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
