import { CofferError } from '../../../errors.ts';
import { type FilePart, readAttachment } from '../../../session/event/attachment.ts';
import { Closed } from '../access/closed.ts';
import { locate, openFile, planAt, refuseOther } from '../access/place.ts';
import type { ToolPlan, ToolScope } from '../tool.ts';

/** Largest total size of the files in a prompt, in bytes. */
export const ATTACHMENT_LIMIT: number = 20 * 1024 * 1024;

/** A file to attach: the plan that needs permission, and a way to read the file afterwards. */
export interface AttachPlan {
  /** The name shown to the user and the model, the same whatever path leads to the file. */
  readonly shown: string;
  /** Size in bytes. */
  readonly size: number;
  readonly plan: ToolPlan;
  /**
   * Reads the file. Throws `FAILED` if it is not text, an image or a PDF, if it has more than
   * `room` bytes by now, or if it was replaced since it was planned.
   */
  read(room: number): Promise<FilePart>;
}

/**
 * Plans to attach the file at a path; returns undefined if there is no file. Reads none of its
 * content. Throws `FAILED` if the path is closed to tools or not a regular file, and system errors.
 */
export async function planAttachment(path: string, place: ToolScope): Promise<AttachPlan | undefined> {
  const spot = await locate(path, place);
  const { found, shown } = spot;
  if (found === undefined || found.isDirectory()) return undefined;
  refuseOther(found, shown);
  const read = async (room: number): Promise<FilePart> => {
    await using handle = await openFile(spot, await Closed.in(place));
    const { size } = await handle.stat();
    requireFits({ shown, size }, room);
    const bytes = Buffer.alloc(size);
    let length = 0;
    while (length < size) {
      const { bytesRead } = await handle.read(bytes, length, size - length);
      if (bytesRead === 0) break; // the file has become shorter
      length += bytesRead;
    }
    return partOf(shown, bytes.subarray(0, length));
  };
  const about = `attach ${shown} (${found.size.toLocaleString('en-US')} bytes) and send it to the model`;
  const plan = await planAt({ kind: 'read', spot, about }, place, async () => ({
    run: () => Promise.reject(new TypeError('an attachment is read, not run')),
  }));
  return { shown, size: found.size, plan, read };
}

/** Throws `FAILED` if a file has more than `room` bytes. */
export function requireFits({ shown, size }: Pick<AttachPlan, 'shown' | 'size'>, room: number): void {
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
