import { acceptRecord, acceptStep } from './event/accept.ts';
import type { Event, NewEvent } from './event/event.ts';
import { goingOn } from './origin.ts';
import { emptyState, fold, isRemark, type State } from './state.ts';

/** The events of a session in memory, saved or not, and the state folded from them. */
export class SessionRecord {
  #events: Event[];
  #state: State;
  #isLive: boolean;
  #hasChanged = false;

  /**
   * Owns `events` from now on. `isLive` is whether the conversation begins here; otherwise the
   * first event other than a remark resumes it.
   */
  constructor(events: Event[], isLive: boolean) {
    this.#events = events;
    this.#state = fold(emptyState, events);
    this.#isLive = isLive;
  }

  /** All events, in order. */
  get events(): readonly Event[] {
    return this.#events;
  }

  /** The state folded from the events. */
  get state(): State {
    return this.#state;
  }

  /**
   * Whether the conversation was begun or resumed here. Remarks don't count; see {@link isRemark}.
   */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Whether anything was recorded here. */
  get hasChanged(): boolean {
    return this.#hasChanged;
  }

  /** Adds copies of a step's events. Throws TypeError naming the field, before adding any. */
  add(step: readonly NewEvent[]): void {
    const recorded = acceptStep(step);
    const resumes = !this.#isLive && !recorded.every(isRemark);
    const added = resumes ? [...goingOn(this.#state.status), ...recorded] : recorded;
    this.#isLive ||= resumes;
    const ts = Date.now();
    let id = this.#state.lastEvent;
    const events = added.map((event): Event => ({ id: ++id, ts, ...event }));
    // Not spread: the number of arguments of a call is limited.
    for (const event of events) this.#events.push(event);
    this.#state = fold(this.#state, events);
    this.#hasChanged = true;
  }

  /** Replaces all events, copying those not recorded yet. Throws TypeError naming the field. */
  replace(events: readonly Event[]): void {
    this.#events = acceptRecord(events, new Set(this.#events));
    this.#state = fold(emptyState, this.#events);
    this.#hasChanged = true;
  }
}
