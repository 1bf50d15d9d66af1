import { CofferError } from '../../errors.ts';
import { type FilePart, readAttachment } from '../../session/event/attachment.ts';
import { Closed } from './closed.ts';
import { locate, openFile, planAt, refuseOther } from './place.ts';
import type { Place, Plan } from './tool.ts';

/** How many bytes the files of a prompt have at most, together. */
export const ATTACHMENT_LIMIT: number = 20 * 1024 * 1024;

/** A file to attach: what has to be allowed for that, and how it is read then. */
export interface Attaching {
  /** How the file is named, whatever path leads to it. */
  readonly shown: string;
  /** Bytes. */
  readonly size: number;
  readonly plan: Plan;
  /** Throws `FAILED` for what is neither text nor an image or PDF, has more than `room` bytes by now, or was exchanged meanwhile. */
  read(room: number): Promise<FilePart>;
}

/**
 * Plans to attach the file at a path; undefined if no file is there. Reads nothing of it. Throws `FAILED` for what is closed to tools or is
 * no regular file, and what the system answers.
 */
export async function planAttachment(path: string, place: Place): Promise<Attaching | undefined> {
  const spot = await locate(path, place);
  const { found, shown } = spot;
  if (found === undefined || found.isDirectory()) return undefined;
  refuseOther(found, shown);
  const read = async (room: number): Promise<FilePart> => {
    await using handle = await openFile(spot, await Closed.in(place));
    const { size } = await handle.stat();
    requireRoom({ shown, size }, room);
    const bytes = Buffer.alloc(size);
    let length = 0;
    while (length < size) {
      const { bytesRead } = await handle.read(bytes, length, size - length);
      if (bytesRead === 0) break; // it has become shorter
      length += bytesRead;
    }
    return partOf(shown, bytes.subarray(0, length));
  };
  const about = `attach ${shown} (${found.size.toLocaleString('en-US')} bytes), which the model is sent`;
  const plan = await planAt({ kind: 'read', spot, about }, place, async () => ({
    run: () => Promise.reject(new TypeError('an attachment is read, not run')),
  }));
  return { shown, size: found.size, plan, read };
}

/** Throws `FAILED` for a file that has more than `room` bytes. */
export function requireRoom({ shown, size }: Pick<Attaching, 'shown' | 'size'>, room: number): void {
  if (size <= room) return;
  throw new CofferError('FAILED', `${shown} is too large: it has ${size.toLocaleString('en-US')} bytes`, {
    advice: `there is room for ${room.toLocaleString('en-US')}`,
  });
}

function partOf(filename: string, bytes: Buffer): FilePart {
  if (bytes.length === 0) throw new CofferError('FAILED', `${filename} is empty`);
  const part = {
    type: 'file',
    filename,
    mediaType: 'application/octet-stream',
    data: bytes.toString('base64'),
  } as const;
  const found = readAttachment(part);
  if (found.kind === 'broken') throw new CofferError('FAILED', `${filename} can't be sent`, { reason: found.reason });
  return { ...part, mediaType: found.kind === 'file' ? found.mediaType : 'text/plain' };
}
