import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Event } from '../event/event.ts';
import type { Sessions } from '../sessions.ts';
import type { State } from '../state.ts';
import type { Row } from './row.ts';
import { addUsed, ownPart, type Used, unused, usedByModel } from './usage.ts';

/** A session that goes on from this one; without a row it is gone. */
export interface Child {
  readonly uuid: string;
  readonly reason: string;
  readonly row: Row | undefined;
}

/** All there is to say about a session. */
export interface Info {
  /** As the list has it; undefined before its first save. */
  readonly row: Row | undefined;
  readonly state: State;
  /** What its own requests took, by model, the first used first. */
  readonly models: readonly { readonly model: string; readonly used: Used }[];
  readonly total: Used;
  /** The session or snapshot it goes on from, where that is still there. */
  readonly parent: Row | undefined;
  readonly children: readonly Child[];
  /** Bytes on the disk. */
  readonly size: number | undefined;
}

/** Reads all there is to say about a session. Throws what {@link Sessions.read} throws. */
export async function readInfo(sessions: Sessions, row: Row, rows: readonly Row[]): Promise<Info> {
  const { events, state, row: now } = await sessions.read(row);
  return infoOf(sessions, { row: now, state, events }, rows);
}

/** Says all there is to say about a session that is at hand, saved or not; `rows` is the list it may be in. */
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

/** Those that its record names, and those that name it: a copy of a vault may have the one and not the other. */
function childrenOf(uuid: string, events: readonly Event[], rows: readonly Row[]): Child[] {
  const children = new Map<string, Child>();
  for (const event of ownPart(events)) {
    if (event.type !== 'child') continue;
    const row = rows.find((candidate) => candidate.uuid === event.uuid);
    children.set(event.uuid, { uuid: event.uuid, reason: event.reason, row });
  }
  for (const row of rows) {
    // A snapshot has the parent of what it was taken of.
    if (row.kind !== 'session' || row.parent?.uuid !== uuid) continue;
    children.set(row.uuid, { uuid: row.uuid, reason: row.parent.reason, row });
  }
  return [...children.values()];
}
