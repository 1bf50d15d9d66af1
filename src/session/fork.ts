import { CofferError } from '../errors.ts';
import { type Event, isKnown } from './event.ts';
import { emptyState, fold, type State, textOf } from './state.ts';

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
    const range = all.length === 0 ? 'it has no prompt yet' : `its prompts are numbered 1 to ${all.length}`;
    throw new CofferError('USAGE', `there is no prompt ${prompts} in this conversation; ${range}`);
  }
  const next = all[prompts];
  return next === undefined ? state.lastEvent : next.event - 1;
}

/** Copies the events of a conversation's first `prompts` prompts, all of them unless told, without what was taken back. Throws `USAGE`. */
export function cutAfter(events: readonly Event[], prompts?: number): { events: Event[]; prompts: number } {
  const state = fold(emptyState, events);
  const count = prompts ?? promptsOf(state).length;
  const end = endOf(state, count);
  return { events: standing(events).filter(({ id }) => id <= end), prompts: count };
}

function standing(events: readonly Event[]): Event[] {
  const kept: Event[] = [];
  for (const event of events) {
    if (isKnown(event) && event.type === 'rewind') while ((kept.at(-1)?.id ?? 0) > event.to) kept.pop();
    else kept.push(event);
  }
  return kept;
}
