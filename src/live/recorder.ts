import type { ReplySession } from '../chat/arriving.ts';
import type { NewEvent } from '../session/event/event.ts';
import type { Session } from '../session/session.ts';
import type { State } from '../session/state.ts';
import type { Feed } from './feed.ts';

/** Records events in a session, and publishes them once their save has settled. */
export class Recorder implements ReplySession {
  readonly #session: Session;
  readonly #feed: Feed;
  readonly #onRecorded: ((events: readonly NewEvent[]) => void) | undefined;

  constructor(session: Session, feed: Feed, onRecorded?: (events: readonly NewEvent[]) => void) {
    this.#session = session;
    this.#feed = feed;
    this.#onRecorded = onRecorded;
  }

  get state(): State {
    return this.#session.state;
  }

  get draft(): NewEvent | undefined {
    return this.#session.draft;
  }

  set draft(draft: NewEvent | undefined) {
    this.#session.draft = draft;
  }

  saveDraft(): Promise<void> {
    return this.#session.saveDraft();
  }

  /** Records events, and resolves once their save has settled and they are published. */
  async record(...events: NewEvent[]): Promise<void> {
    const saved = this.#session.record(...events);
    const { lastEvent } = this.#session.state;
    await saved;
    this.#feed.settle(lastEvent);
    this.#onRecorded?.(events);
  }
}
