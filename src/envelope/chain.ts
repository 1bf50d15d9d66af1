import { hash } from 'node:crypto';
import { FRAME_HEAD_LENGTH, HEADER_LENGTH } from './format.ts';

/** A frame's place in its file: `link` is H(n-1), which stands for the header and all frames before; `index` is n. */
export interface Chain {
  readonly link: Buffer;
  readonly index: number;
}

/** Begins the chain of the file with this header: H(-1), and frame 0 is the next. */
export function firstLink(header: Uint8Array): Chain {
  if (header.length !== HEADER_LENGTH) throw new RangeError(`a header has ${HEADER_LENGTH} bytes`);
  return { link: sha256(header), index: 0 };
}

/** Goes on behind the frame that begins with these sixty bytes: H(n) = SHA-256(H(n-1) ‖ u32 length ‖ salt ‖ commitment). */
export function nextLink(chain: Chain, start: Uint8Array): Chain {
  const input = Buffer.allocUnsafe(LINK_LENGTH + FRAME_HEAD_LENGTH);
  input.set(chain.link, 0);
  input.set(start.subarray(0, FRAME_HEAD_LENGTH), LINK_LENGTH);
  return { link: sha256(input), index: chain.index + 1 };
}

/** What a frame at `chain` is sealed with besides its key: its place and its length. */
export function contextOf(chain: Chain, length: number): Buffer {
  const context = Buffer.allocUnsafe(FRAME_LABEL.length + LINK_LENGTH + 8 + 4);
  context.set(FRAME_LABEL, 0);
  context.set(chain.link, FRAME_LABEL.length);
  context.writeBigUInt64BE(BigInt(chain.index), FRAME_LABEL.length + LINK_LENGTH);
  context.writeUInt32BE(length, FRAME_LABEL.length + LINK_LENGTH + 8);
  return context;
}

/** The shortest plaintext of a frame at `chain`, in bytes. */
export function floorOf(chain: Chain): number {
  return chain.index === 0 ? 4096 : 1024;
}

function sha256(input: Uint8Array): Buffer {
  return hash('sha256', input, 'buffer');
}

/** Bytes of H(n). */
const LINK_LENGTH = 32;
const FRAME_LABEL = Buffer.from('coffer/v1/frame\0');
