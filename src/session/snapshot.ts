import { randomUUID } from 'node:crypto';
import type { SealedFile } from '../vault/file/sealed-file.ts';
import type { FirstStep, Vault } from '../vault/vault.ts';
import { type Event, encodeEvents } from './event/event.ts';
import { encodeSummary, type Summary, summarize } from './list/summary.ts';
import { checkName } from './name.ts';
import type { State } from './state.ts';

/**
 * Takes an immutable copy of a conversation. Where `beside`, its file, has taken over the first `handedOver` events, they are copied
 * as they are packed there instead of being written and packed again. Throws `NAME_INVALID`, `NOT_SAVED`, `KEY_*`.
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
  await vault.snapshot(first, as.beside);
  return { id, messages: state.messageCount };
}

/** The id of what began at `time` (local time): `2025-07-04_12-30`, `_name`, and `-2`, `-3`, … if that is taken. */
export function newId(time: number, name: string | undefined, taken: ReadonlySet<string>): string {
  const base = name === undefined ? minuteOf(time) : `${minuteOf(time)}_${name}`;
  for (let id = base, next = 2; ; id = `${base}-${next++}`) {
    if (!taken.has(id)) return id;
  }
}

/** Ids in use among the files that could have one of this minute; one that can't be read has none. */
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
