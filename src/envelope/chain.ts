import { createHash } from 'node:crypto';
import { encodeLength, type FrameHead, HEADER_LENGTH } from './format.ts';

/** A frame's place in its file: `link` is H(n-1), which stands for the header and all frames before; `index` is n. */
export interface Chain {
  readonly link: Buffer;
  readonly index: number;
}

/** Begins the chain of the file with this header: H(-1), and frame 0 is the next. */
export function firstLink(header: Uint8Array): Chain {
  if (header.length !== HEADER_LENGTH) throw new RangeError(`a header has ${HEADER_LENGTH} bytes`);
  return { link: createHash('sha256').update(header).digest(), index: 0 };
}

/** Goes on behind the frame with this head: H(n) = SHA-256(H(n-1) ‖ u32 length ‖ salt ‖ commitment). */
export function nextLink(chain: Chain, head: FrameHead): Chain {
  const hash = createHash('sha256').update(chain.link).update(encodeLength(head.length));
  return { link: hash.update(head.salt).update(head.commitment).digest(), index: chain.index + 1 };
}

/** What a frame at `chain` is sealed with besides its key: its place and its length. */
export function contextOf(chain: Chain, length: number): Buffer {
  const index = Buffer.alloc(8);
  index.writeBigUInt64BE(BigInt(chain.index));
  return Buffer.concat([FRAME_LABEL, chain.link, index, encodeLength(length)]);
}

/** The shortest plaintext of a frame at `chain`, in bytes. */
export function floorOf(chain: Chain): number {
  return chain.index === 0 ? 4096 : 1024;
}

const FRAME_LABEL = Buffer.from('coffer/v1/frame\0');
