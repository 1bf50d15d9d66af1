import type { Event } from '../../src/session/event/event.ts';

/** Another way to keep a session on disk, one file each in this folder. */
export interface Peer {
  /** Stands in the ids of lines. */
  readonly id: string;
  readonly name: string;
  /** Whether every step writes all of the session again, which takes seconds once it is large. */
  readonly rewrites: boolean;
  /** Begins a session below `folder`, an empty one, with what it has so far; nobody waits for this. */
  open(folder: string, initial: readonly Event[]): Promise<OpenPeer>;
}

/** A session that such a peer keeps. */
export interface OpenPeer {
  /** Adds the events of one step, as durably as the peer ever does; a promise where it lets other things happen meanwhile. */
  step(events: readonly Event[]): Promise<void> | void;
  /** Reads from the disk how many events it has: what is fast because it lost some is not measured. */
  count(): Promise<number> | number;
  close(): Promise<void> | void;
}
