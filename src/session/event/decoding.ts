import { giveBack, type OnLines } from '../../vault/file/lines.ts';
import type { Opened, OpenedTo } from '../../vault/file/open.ts';
import { Room } from '../../vault/file/room.ts';
import type { Vault } from '../../vault/vault.ts';
import { type Event, MergedEvents } from './event.ts';
import { readLines } from './lines.ts';

/** What was recorded since a session was read before, or all of it. */
export interface Grown {
  readonly events: readonly Event[];
  /** Whether this is all of it: the first time, and where the file is another one than it was. */
  readonly whole: boolean;
  /** Where to go on the next time. */
  readonly to: OpenedTo;
}

/**
 * Gathers the events of a sealed file that `read` hands the lines of. `what` is named if there is not enough memory. Throws what `read`
 * throws, and `TOO_LARGE`.
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

/** Reads a file again of which only the end is new, where it is still that file; all of it else. Throws as {@link gatherEvents}. */
export async function readOn(vault: Vault, fileId: string, what: string, before?: OpenedTo): Promise<Grown> {
  const { events, opened, whole } = await gatherEvents(what, async (onLines) => {
    const appended = before && (await vault.readAppended(fileId, before, onLines));
    return { opened: appended ?? (await vault.read(fileId, onLines)), whole: appended === undefined };
  });
  return { events, whole, to: placeOf(opened) };
}

/** Not the segments: they are large, and were read. */
function placeOf({ header, chain, links, end, firstFrame, stamp }: Opened): OpenedTo {
  return { header, chain, links, end, firstFrame, stamp };
}
