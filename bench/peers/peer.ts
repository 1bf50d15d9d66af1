import type { Event } from '../../src/session/event/event.ts';

/** Another way to keep a session on disk. */
export interface Peer {
  /** The name used in the ids of lines. */
  readonly id: string;
  readonly name: string;
  /** Whether every step rewrites the whole session, which takes seconds once it is large. */
  readonly rewrites: boolean;
  /** Begins a session in `folder`, which is empty, with its initial events; not measured. */
  open(folder: string, initial: readonly Event[]): Promise<OpenPeer>;
}

/** A session kept by a peer. */
export interface OpenPeer {
  /**
   * Adds the events of one step, as durably as the peer ever does; returns a promise if other
   * things can run meanwhile.
   */
  step(events: readonly Event[]): Promise<void> | void;
  /** Counts the events on disk: a peer that is fast because it loses events is not measured. */
  count(): Promise<number> | number;
  close(): Promise<void> | void;
}
