import { CofferError } from '../../errors.ts';
import { type Event, isKnown, type NewEvent } from '../event/event.ts';
import { textOf } from '../event/message-text.ts';
import type { Beginning } from '../shapes.ts';
import { emptyState, fold, type State } from '../state.ts';

/** A prompt in the current conversation. */
export interface Prompt {
  /** Number in the conversation, counted from 1. */
  readonly number: number;
  /** Id of its event. */
  readonly event: number;
  readonly text: string;
}

/** Lists the prompts of the current conversation, without those removed by a rewind. */
export function promptsOf({ messages, messageEvents }: State): Prompt[] {
  return messages
    .map((message, at) => ({ message, event: messageEvents[at] ?? 0 }))
    .filter(({ message }) => message.role === 'user')
    .map(({ message, event }, at) => ({ number: at + 1, event, text: textOf(message) }));
}

/**
 * Returns the id of the last event of the first `prompts` prompts of a conversation and their
 * answers. Throws `USAGE` if it has fewer prompts.
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
 * Returns the events of the first `prompts` prompts of a conversation (default: all) and their
 * answers, without what a rewind removed, and with all instructions and moves up to now. Throws
 * `USAGE` if it has fewer prompts.
 */
export function cutAfter(events: readonly Event[], prompts?: number): { events: Event[]; prompts: number } {
  const state = fold(emptyState, events);
  const count = prompts ?? promptsOf(state).length;
  const end = endOf(state, count);
  const kept = standing(events).filter((event) => event.id <= end || holdsNow(event));
  return { events: kept, prompts: count };
}

/** A conversation to fork. */
export interface ForkParent {
  readonly uuid: string;
  readonly id: string;
  readonly events: readonly Event[];
  /** Its state, with the permissions that apply now. */
  readonly state: State;
  readonly isSnapshot: boolean;
}

/** A planned fork. */
export interface Fork {
  readonly beginning: Beginning;
  /** Number of prompts it keeps. */
  readonly prompts: number;
  /** Number of prompts in the original conversation. */
  readonly of: number;
  /** Reason to record in the parent's `child` event, once the fork has a UUID. */
  readonly reason: string;
}

/**
 * Plans a session that continues from the first `prompts` prompts of another (default: all). Throws
 * `USAGE` if that has fewer prompts, or none and isn't a snapshot.
 */
export function planFork(parent: ForkParent, prompts?: number): Fork {
  const { uuid, id, isSnapshot } = parent;
  const { directory, model, branch, worktree, project, permissions } = parent.state;
  const of = promptsOf(parent.state).length;
  if (of === 0 && !isSnapshot)
    throw new CofferError('USAGE', 'this conversation has no prompt yet', { advice: 'there is nothing to fork' });
  if (prompts === 0) throw noSuchPrompt(0, of);
  const cut = cutAfter(parent.events, prompts);
  const reason = isSnapshot ? 'resumed from a snapshot' : `forked after prompt ${cut.prompts}`;
  const after = { events: cut.events, parent: { uuid, id, reason } };
  const beginning = { directory, model, branch, worktree, project, permissions, after };
  return { beginning, prompts: cut.prompts, of, reason };
}

/** A planned rewind. */
export interface Rewind {
  /** The event to append; undefined if nothing would be removed. */
  readonly event: NewEvent | undefined;
  /** Number of prompts it keeps. */
  readonly prompts: number;
  /** Number of prompts in the conversation before. */
  readonly of: number;
  /** Number of user and assistant messages it removes. */
  readonly cut: number;
}

/**
 * Plans a rewind that keeps the first `prompts` prompts and their answers (default: all but the
 * last prompt). Throws `USAGE` if there are fewer prompts or none.
 */
export function rewindOf(state: State, prompts?: number): Rewind {
  const of = promptsOf(state).length;
  if (of === 0)
    throw new CofferError('USAGE', 'this conversation has no prompt yet', { advice: 'there is nothing to rewind' });
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

/**
 * Removes the events that a rewind removed, exactly as `fold` does. Ids of `events` must increase.
 */
function standing(events: readonly Event[]): Event[] {
  const kept: Event[] = [];
  /** Permissions, instructions and moves: no rewind removes these, so none need scan them again. */
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

/** Instructions and the directory apply to the whole session from then on, like its model. */
function holdsNow(event: Event): boolean {
  return event.type === 'instructions' || event.type === 'move';
}

/** Merges two lists of events with increasing ids. */
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

/**
 * Tells whether a rewind to `to` keeps an event: a compaction stays if it covers nothing removed.
 */
function outlasts(event: Event, to: number): boolean {
  return isKnown(event) && event.type === 'compaction' && event.through <= to;
}
