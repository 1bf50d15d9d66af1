import { acceptRecord, acceptStep } from './event/accept.ts';
import type { Event, NewEvent } from './event/event.ts';
import { goingOn } from './origin.ts';
import { emptyState, fold, isRemark, type State } from './state.ts';

/** What a session has recorded, saved or not: its own copies of the events, and the state that they fold to. */
export class SessionRecord {
  #events: Event[];
  #state: State;
  #isLive: boolean;

  /** `isLive`: the conversation begins here; otherwise it is resumed later, if at all. */
  constructor(events: Event[], isLive: boolean) {
    this.#events = events;
    this.#state = fold(emptyState, events);
    this.#isLive = isLive;
  }

  get events(): readonly Event[] {
    return this.#events;
  }

  get state(): State {
    return this.#state;
  }

  /** Whether the conversation was begun or resumed here. Notes about a session do neither. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Adds copies of a step's events. Throws TypeError, naming the field, before it adds any. */
  add(step: readonly NewEvent[]): void {
    const recorded = acceptStep(step);
    const resumes = !this.#isLive && !recorded.every(isRemark);
    const added = resumes ? [...goingOn(this.#state.status), ...recorded] : recorded;
    this.#isLive ||= resumes;
    const ts = Date.now();
    let id = this.#state.lastEvent;
    const events = added.map((event): Event => ({ id: ++id, ts, ...event }));
    for (const event of events) this.#events.push(event); // not spread: the number of arguments of a call is limited
    this.#state = fold(this.#state, events);
  }

  /** Replaces all events, copying those that are not recorded here already. Throws TypeError, naming the field. */
  replace(events: readonly Event[]): void {
    this.#events = acceptRecord(events, new Set(this.#events));
    this.#state = fold(emptyState, this.#events);
  }
}
