import { giveBack, type OnLines } from '../../vault/file/lines.ts';
import type { OpenedFile, OpenedTo } from '../../vault/file/open.ts';
import { Room } from '../../vault/file/room.ts';
import type { Vault } from '../../vault/vault.ts';
import { type Event, MergedEvents } from './event.ts';
import { readLines } from './lines.ts';

/** The events recorded since a session was last read, or all of them. */
export interface Grown {
  readonly events: readonly Event[];
  /** Whether these are all events: on the first read, or when the file was replaced. */
  readonly whole: boolean;
  /** The position to continue from next time. */
  readonly to: OpenedTo;
}

/**
 * Collects the events of a sealed file from the lines that `read` delivers. `what` names the file
 * in the error if memory is short. Throws what `read` throws, and `TOO_LARGE`.
 */
export async function gatherEvents<T extends object>(
  what: string,
  read: (onLines: OnLines) => Promise<T>,
): Promise<T & { events: Event[] }> {
  const room = new Room(what);
  const merged = new MergedEvents();
  const done = await read((lines, left, spare) => {
    room.require(lines.length, left);
    merged.add(readLines(lines));
    if (spare) giveBack(lines);
  });
  return { ...done, events: merged.events };
}

/**
 * Reads only what was appended since `before` if the file only grew; otherwise reads all of it.
 * Throws as {@link gatherEvents}.
 */
export async function readOn(vault: Vault, fileId: string, what: string, before?: OpenedTo): Promise<Grown> {
  const { events, opened, whole } = await gatherEvents(what, async (onLines) => {
    const appended = before && (await vault.readAppended(fileId, before, onLines));
    return { opened: appended ?? (await vault.read(fileId, onLines)), whole: appended === undefined };
  });
  return { events, whole, to: placeOf(opened) };
}

/** Drops the segments: they are large and already read. */
function placeOf({ header, chain, links, end, firstFrame, stamp }: OpenedFile): OpenedTo {
  return { header, chain, links, end, firstFrame, stamp };
}
