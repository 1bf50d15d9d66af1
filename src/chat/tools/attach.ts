import { CofferError } from '../../errors.ts';
import { type FilePart, readAttachment } from '../../session/attachment.ts';
import { Closed } from './closed.ts';
import { locate, openFile, planAt, refuseOther } from './place.ts';
import type { Place, Plan } from './tool.ts';

/** How many bytes the files of a prompt have at most, together. */
export const ATTACHMENT_LIMIT: number = 20 * 1024 * 1024;

/** A file to attach: what has to be allowed for that, and how it is read then. */
export interface Attaching {
  readonly plan: Plan;
  /** Throws `FAILED` for what is neither text nor an image or PDF, or was exchanged meanwhile. */
  read(): Promise<FilePart>;
}

/**
 * Plans to attach the file at a path; undefined if nothing is there. Reads nothing of it. Throws `FAILED` for what is closed to tools, is no
 * regular file or has more than `room` bytes, and what the system answers.
 */
export async function planAttachment(path: string, place: Place, room: number): Promise<Attaching | undefined> {
  const spot = await locate(path, place);
  const { found, shown } = spot;
  if (found === undefined) return undefined;
  refuseOther(found, shown);
  const read = async (): Promise<FilePart> => {
    await using handle = await openFile(spot, await Closed.in(place));
    const { size } = await handle.stat();
    if (size > room) throw tooLarge(shown, size, room);
    const bytes = Buffer.alloc(size);
    let length = 0;
    while (length < size) {
      const { bytesRead } = await handle.read(bytes, length, size - length);
      if (bytesRead === 0) break; // it has become shorter
      length += bytesRead;
    }
    return partOf(shown, bytes.subarray(0, length));
  };
  if (found.size > room) throw tooLarge(shown, found.size, room);
  const about = `attach ${shown} (${found.size.toLocaleString('en-US')} bytes), which the model is sent`;
  const plan = await planAt({ kind: 'read', spot, about }, place, async () => ({
    run: () => Promise.reject(new TypeError('an attachment is read, not run')),
  }));
  return { plan, read };
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

function tooLarge(shown: string, size: number, room: number): CofferError {
  return new CofferError('FAILED', `${shown} is too large: it has ${size.toLocaleString('en-US')} bytes`, {
    advice: `there is room for ${room.toLocaleString('en-US')}`,
  });
}
