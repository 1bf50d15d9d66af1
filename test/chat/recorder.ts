import { EventEmitter, once } from 'node:events';
import type { TurnSession } from '../../src/chat/loop.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import { emptyState, fold, type State } from '../../src/session/state.ts';

/** A session that keeps its steps for a test to inspect, and saves nothing. */
export class Recorder implements TurnSession {
  readonly steps: NewEvent[][] = [];
  readonly savedDrafts: NewEvent[] = [];
  state: State = emptyState;
  draft: NewEvent | undefined;
  readonly #saves = new EventEmitter();

  async record(...events: NewEvent[]): Promise<void> {
    this.steps.push(events);
    const id = this.state.lastEvent;
    this.state = fold(
      this.state,
      events.map((event, place) => ({ id: id + place + 1, ts: 1, ...event })),
    );
  }

  async saveDraft(): Promise<void> {
    if (this.draft !== undefined) this.savedDrafts.push(this.draft);
    this.#saves.emit('draft');
  }

  /** Resolves once `count` drafts have been saved in total. */
  async draftsSaved(count: number): Promise<void> {
    while (this.savedDrafts.length < count) await once(this.#saves, 'draft');
  }
}
