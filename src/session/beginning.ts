import { randomUUID } from 'node:crypto';
import { acceptRecord } from './event/accept.ts';
import type { Event, NewEvent } from './event/event.ts';
import { permissionChanges } from './permissions.ts';
import { branchOf, gitDirectoryOf } from './project/git-directory.ts';
import type { Beginning } from './shapes.ts';
import { emptyState, fold } from './state.ts';

/**
 * Returns the events a session begins with: a copy of those it continues from, and its own. Throws
 * TypeError naming a field that could not be read back unchanged.
 */
export function eventsOf(beginning: Beginning): Event[] {
  const { directory, model, worktree, project, instructions = [], permissions = [], after } = beginning;
  const branch = beginning.branch ?? branchOf(gitDirectoryOf(directory));
  const before = after?.events ?? [];
  const begun: NewEvent[] = [
    { type: 'begin', uuid: randomUUID(), directory, branch, worktree, project, parent: after?.parent },
    { type: 'model', model },
    ...instructions.map((one): NewEvent => ({ type: 'instructions', ...one })),
    ...permissionChanges(fold(emptyState, before).permissions, permissions),
    { type: 'status', status: 'running' },
  ];
  const ts = Date.now();
  const first = (before.at(-1)?.id ?? 0) + 1;
  return acceptRecord([...before, ...begun.map((event, at): Event => ({ id: first + at, ts, ...event }))]);
}
