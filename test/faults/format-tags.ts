import { createDecipheriv, createSecretKey } from 'node:crypto';
import { openChunk, sealChunk } from '../../src/envelope/seal.ts';
import { CofferError } from '../../src/errors.ts';
import type { Control } from './campaign.ts';

const KEY = createSecretKey(Buffer.alloc(32, 7));
const NONCE = Buffer.alloc(12, 9);
const LENGTHS = [0, 1, 2, 3, 4, 5, 8, 11, 12, 13, 14, 15, 17, 24, 32];

type Open = (sealed: Buffer, tag: Buffer) => Buffer;

/** The outcome of offering a chunk its own tag, cut or padded. */
export interface Tags {
  readonly cases: number;
  readonly accepted: number;
  readonly failures: readonly string[];
  readonly controls: readonly Control[];
}

/** Offers chunks their own tags cut short or lengthened, directly to the cipher. */
export function attackTags(): Tags {
  const found = offer((sealed, tag) => openChunk(KEY, NONCE, sealed, tag));
  process.noDeprecation = true; // Node warns about this very mistake
  const loose = offer((sealed, tag) => {
    const decipher = createDecipheriv('aes-256-gcm', KEY, NONCE).setAuthTag(tag);
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  });
  process.noDeprecation = false;
  const control = { name: 'a decipher without authTagLength', caught: loose.accepted, cases: loose.cases };
  return { ...found, controls: [control] };
}

function offer(open: Open): Omit<Tags, 'controls'> {
  const failures: string[] = [];
  let [cases, accepted] = [0, 0];
  for (const length of [0, 1, 1000, 16_383, 16_384]) {
    const sealed = Buffer.alloc(length + 16);
    sealChunk(KEY, NONCE, [Buffer.alloc(length, 1)], sealed);
    const whole = Buffer.concat([sealed.subarray(length), Buffer.alloc(16)]);
    for (const tag of LENGTHS) {
      cases++;
      try {
        open(sealed.subarray(0, length), whole.subarray(0, tag));
        accepted++;
        failures.push(`a chunk of ${length} bytes opens with ${tag} bytes of its tag`);
      } catch (error) {
        const isOurs = error instanceof CofferError && error.code === 'UNAUTHENTIC';
        if (!isOurs) failures.push(`a tag of ${tag} bytes: ${String(error)}`);
      }
    }
  }
  return { cases, accepted, failures };
}
