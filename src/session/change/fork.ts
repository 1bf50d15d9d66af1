import { CofferError } from '../../errors.ts';
import { type Event, isKnown, type NewEvent } from '../event/event.ts';
import { textOf } from '../event/message-text.ts';
import type { Beginning } from '../shapes.ts';
import { emptyState, fold, type State } from '../state.ts';

/** One prompt of a conversation as it stands. */
export interface Prompt {
  /** Counted from 1. */
  readonly number: number;
  /** The id of its event. */
  readonly event: number;
  readonly text: string;
}

/** Lists the prompts of a conversation as it stands. */
export function promptsOf({ messages, messageEvents }: State): Prompt[] {
  return messages
    .map((message, at) => ({ message, event: messageEvents[at] ?? 0 }))
    .filter(({ message }) => message.role === 'user')
    .map(({ message, event }, at) => ({ number: at + 1, event, text: textOf(message) }));
}

/**
 * Gives the id of the last event that belongs to the first `prompts` prompts of a conversation and their answers. Throws `USAGE`
 * where it has fewer.
 */
export function endOf(state: State, prompts: number): number {
  const all = promptsOf(state);
  if (!Number.isInteger(prompts) || prompts < 0 || prompts > all.length) {
    throw noSuchPrompt(prompts, all.length);
  }
  const next = all[prompts];
  return next === undefined ? state.lastEvent : next.event - 1;
}

/**
 * Copies the events of a conversation's first `prompts` prompts, all of them unless told, without what was taken back, and with what the
 * session is told and where it is now. Throws `USAGE`.
 */
export function cutAfter(events: readonly Event[], prompts?: number): { events: Event[]; prompts: number } {
  const state = fold(emptyState, events);
  const count = prompts ?? promptsOf(state).length;
  const end = endOf(state, count);
  const kept = standing(events).filter((event) => event.id <= end || holdsNow(event));
  return { events: kept, prompts: count };
}

/** What a fork begins with, and how many of how many prompts it has. */
export interface Fork {
  readonly beginning: Beginning;
  readonly prompts: number;
  readonly of: number;
  /** What the one it goes on from records of it, once the fork has a UUID. */
  readonly reason: string;
}

/**
 * Plans a session that goes on from the first `prompts` prompts of another, all of them unless told. Throws `USAGE` where that has
 * fewer, or none at all.
 */
export function forkOf(
  from: { readonly events: readonly Event[]; readonly state: State },
  parent: { readonly uuid: string; readonly id: string },
  prompts?: number,
): Fork {
  const { directory, model, branch, worktree, project, permissions } = from.state;
  const of = promptsOf(from.state).length;
  if (of === 0)
    throw new CofferError('USAGE', 'this conversation has no prompt yet', { advice: 'there is nothing to fork' });
  if (prompts === 0) throw noSuchPrompt(0, of);
  const cut = cutAfter(from.events, prompts);
  const reason = `forked after prompt ${cut.prompts}`;
  const after = { events: cut.events, parent: { uuid: parent.uuid, id: parent.id, reason } };
  return {
    beginning: { directory, model, branch, worktree, project, permissions, after },
    prompts: cut.prompts,
    of,
    reason,
  };
}

/** What going back comes to. */
export interface Rewind {
  /** Undefined where nothing comes after that prompt. */
  readonly event: NewEvent | undefined;
  readonly prompts: number;
  readonly of: number;
  /** How many messages of user and assistant are taken back. */
  readonly cut: number;
}

/** Plans to take back what comes after the first `prompts` prompts and their answers; the last prompt unless told. Throws `USAGE`. */
export function rewindOf(state: State, prompts?: number): Rewind {
  const of = promptsOf(state).length;
  if (of === 0)
    throw new CofferError('USAGE', 'this conversation has no prompt yet', { advice: 'there is nothing to take back' });
  const kept = prompts ?? of - 1;
  const to = endOf(state, kept);
  const event: NewEvent = { type: 'rewind', to };
  const place = { id: state.lastEvent + 1, ts: state.updated };
  const { messages, messageEvents, messageModels } = state;
  const copy = {
    ...state,
    messages: [...messages],
    messageEvents: [...messageEvents],
    messageModels: [...messageModels],
  };
  const cut = state.messageCount - fold(copy, [{ ...event, ...place }]).messageCount;
  return { event: cut === 0 ? undefined : event, prompts: kept, of, cut };
}

function noSuchPrompt(prompts: number, of: number): CofferError {
  const range = of === 0 ? 'it has no prompt yet' : `its prompts are numbered 1 to ${of}`;
  return new CofferError('USAGE', `there is no prompt ${prompts} in this conversation`, { advice: range });
}

/** The events, whose ids rise, without what was taken back: what `fold` leaves out of a state is left out here. */
function standing(events: readonly Event[]): Event[] {
  const kept: Event[] = [];
  /** Permissions, instructions and moves: no rewind takes one back, and none has to look at them again. */
  const lasting: Event[] = [];
  for (const event of events) {
    if (isKnown(event) && (event.type === 'permission' || holdsNow(event))) lasting.push(event);
    else if (!isKnown(event) || event.type !== 'rewind') kept.push(event);
    else {
      const end = kept.findLastIndex(({ id }) => id <= event.to) + 1;
      for (const before of kept.splice(end)) if (outlasts(before, event.to)) kept.push(before);
    }
  }
  return lasting.length === 0 ? kept : inOrder(kept, lasting);
}

/** What a session is told, and where it is, hold for all of it from then on, as its model does. */
function holdsNow(event: Event): boolean {
  return event.type === 'instructions' || event.type === 'move';
}

/** Joins two lists of events whose ids rise. */
function inOrder(some: readonly Event[], others: readonly Event[]): Event[] {
  const all: Event[] = [];
  let at = 0;
  for (const event of some) {
    for (let next = others[at]; next !== undefined && next.id < event.id; next = others[++at]) all.push(next);
    all.push(event);
  }
  for (; at < others.length; at++) all.push(others[at] as Event);
  return all;
}

/** A summary stays where the model was given it for what still stands. */
function outlasts(event: Event, to: number): boolean {
  return isKnown(event) && event.type === 'compaction' && event.through <= to;
}
