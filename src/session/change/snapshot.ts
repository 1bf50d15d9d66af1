import { randomUUID } from 'node:crypto';
import type { SealedFile } from '../../vault/file/sealed-file.ts';
import type { FirstStep, Vault } from '../../vault/vault.ts';
import { type Event, encodeEvents } from '../event/event.ts';
import { checkName } from '../event/name.ts';
import { encodeSummary, type Summary, summarize } from '../list/summary.ts';
import type { State } from '../state.ts';

/**
 * Saves an immutable copy of a conversation under a new id and the given name, if any. If `beside`,
 * its sealed file, holds the first `handedOver` events, they are copied in their packed form
 * instead of being encoded and packed again. Returns the snapshot's id and its number of user and
 * assistant messages. Durable when it resolves. Throws `NAME_INVALID`, `NOT_SAVED`, `KEY_*`.
 */
export async function takeSnapshot(
  vault: Vault,
  of: { readonly state: State; readonly events: readonly Event[] },
  as: { readonly name: string | undefined; readonly beside?: SealedFile | undefined; readonly handedOver?: number },
): Promise<{ id: string; messages: number }> {
  const { state } = of;
  const name = as.name === undefined || as.name.trim() === '' ? undefined : checkName(as.name);
  const base = as.beside?.lines;
  const lines = encodeEvents(base ? of.events.slice(as.handedOver) : of.events);
  let id = '';
  const first: FirstStep = (siblings) => {
    id = newId(Date.now(), name, takenIds(siblings()));
    return {
      base,
      lines,
      summary: encodeSummary(summarize(state, { kind: 'snapshot', id, uuid: randomUUID(), name })),
    };
  };
  await vault.writing.snapshot(first, as.beside);
  return { id, messages: state.messageCount };
}

/**
 * Returns the id for a session or snapshot begun at `time`, in local time: `2025-07-04_12-30`, plus
 * `_name` if it has a name, plus `-2`, `-3`, … if taken.
 */
export function newId(time: number, name: string | undefined, taken: ReadonlySet<string>): string {
  const base = name === undefined ? minuteOf(time) : `${minuteOf(time)}_${name}`;
  for (let id = base, next = 2; ; id = `${base}-${next++}`) {
    if (!taken.has(id)) return id;
  }
}

/** Collects the ids already in use. */
export function takenIds(siblings: Iterable<Pick<Summary, 'id'>>): Set<string> {
  const taken = new Set<string>();
  for (const { id } of siblings) taken.add(id);
  return taken;
}

function minuteOf(time: number): string {
  const at = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}_${two(at.getHours())}-${two(at.getMinutes())}`;
}
