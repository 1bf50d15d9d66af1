import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Event } from '../event/event.ts';
import type { Sessions } from '../sessions.ts';
import type { State } from '../state.ts';
import type { Row } from './row.ts';
import { addUsed, ownPart, type Used, unused, usedByModel } from './usage.ts';

/** A session that continues from this one. Its row is undefined if it was deleted. */
export interface Child {
  readonly uuid: string;
  readonly reason: string;
  readonly row: Row | undefined;
}

/** Details of a session, as shown by `coffer status`. */
export interface Info {
  /** Its row in the list; undefined before its first save. */
  readonly row: Row | undefined;
  readonly state: State;
  /** Usage of its own requests by model, in the order of first use. */
  readonly models: readonly { readonly model: string; readonly used: Used }[];
  readonly total: Used;
  /** The session or snapshot it continues from, if that still exists. */
  readonly parent: Row | undefined;
  readonly children: readonly Child[];
  /** Size of its file in bytes; undefined if there is none. */
  readonly size: number | undefined;
}

/** Reads a session and returns its details. Throws what {@link Sessions.read} throws. */
export async function readInfo(sessions: Sessions, row: Row, rows: readonly Row[]): Promise<Info> {
  const { events, state, row: now } = await sessions.read(row);
  return infoOf(sessions, { row: now, state, events }, rows);
}

/**
 * Returns the details of a session in memory, saved or not. Its parent and children are looked up
 * in `rows`.
 */
export function infoOf(
  { directory }: Pick<Sessions, 'directory'>,
  { row, state, events }: { row: Row | undefined; state: State; events: readonly Event[] },
  rows: readonly Row[],
): Info {
  const models = [...usedByModel(ownPart(events))].map(([model, used]) => ({ model, used }));
  const parent = rows.find(({ uuid }) => uuid !== '' && uuid === state.parent?.uuid);
  const stats = row && statSync(join(directory, 'sessions', row.fileId), { throwIfNoEntry: false });
  return {
    row,
    state,
    models,
    total: models.reduce((sum, { used }) => addUsed(sum, used), unused),
    parent,
    children: childrenOf(row?.uuid ?? state.uuid, events, rows),
    size: stats?.size,
  };
}

/**
 * Collects the children that its events name and the rows that name it as parent: a copy of a vault
 * may have one without the other.
 */
function childrenOf(uuid: string, events: readonly Event[], rows: readonly Row[]): Child[] {
  const children = new Map<string, Child>();
  for (const event of ownPart(events)) {
    if (event.type !== 'child') continue;
    const row = rows.find((candidate) => candidate.uuid === event.uuid);
    children.set(event.uuid, { uuid: event.uuid, reason: event.reason, row });
  }
  for (const row of rows) {
    // A snapshot has the same parent as the session it was taken of.
    if (row.kind !== 'session' || row.parent?.uuid !== uuid) continue;
    children.set(row.uuid, { uuid: row.uuid, reason: row.parent.reason, row });
  }
  return [...children.values()];
}
