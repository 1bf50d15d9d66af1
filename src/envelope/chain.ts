import { hash } from 'node:crypto';
import { FRAME_HEAD_LENGTH, HEADER_LENGTH } from './format.ts';

/**
 * A frame's position in its file: `index` is its number n, and `link` is H(n-1), which commits to
 * the header and all frames before it.
 */
export interface Chain {
  readonly link: Buffer;
  readonly index: number;
}

/**
 * Returns the position of frame 0 in the file with this header: H(-1). A header of another length
 * is a RangeError.
 */
export function firstLink(header: Uint8Array): Chain {
  if (header.length !== HEADER_LENGTH) throw new RangeError(`a header must be ${HEADER_LENGTH} bytes`);
  return { link: sha256(header), index: 0 };
}

/**
 * Returns the position after the frame that begins with these sixty bytes. H(n) =
 * SHA-256(H(n-1) ‖ u32 length ‖ salt ‖ commitment).
 */
export function nextLink(chain: Chain, start: Uint8Array): Chain {
  const input = Buffer.allocUnsafe(LINK_LENGTH + FRAME_HEAD_LENGTH);
  input.set(chain.link, 0);
  input.set(start.subarray(0, FRAME_HEAD_LENGTH), LINK_LENGTH);
  return { link: sha256(input), index: chain.index + 1 };
}

/** Returns the context that a frame is sealed with: its position and its length, in bytes. */
export function chainContext(chain: Chain, length: number): Buffer {
  const context = Buffer.allocUnsafe(FRAME_LABEL.length + LINK_LENGTH + 8 + 4);
  context.set(FRAME_LABEL, 0);
  context.set(chain.link, FRAME_LABEL.length);
  context.writeBigUInt64BE(BigInt(chain.index), FRAME_LABEL.length + LINK_LENGTH);
  context.writeUInt32BE(length, FRAME_LABEL.length + LINK_LENGTH + 8);
  return context;
}

/** Returns the minimum plaintext length of the frame at `chain`, in bytes. */
export function floorOf(chain: Chain): number {
  return chain.index === 0 ? 4096 : 1024;
}

function sha256(input: Uint8Array): Buffer {
  return hash('sha256', input, 'buffer');
}

/** Bytes of H(n). */
const LINK_LENGTH = 32;
const FRAME_LABEL = Buffer.from('coffer/v1/frame\0');
