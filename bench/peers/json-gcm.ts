import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Event } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';

const NONCE = 12;
const TAG = 16;

/**
 * One JSON document, sealed by AES-256-GCM and written in place at every step, as in m. Cipher,
 * nonce and tag follow Node's documentation of `createCipheriv` and NIST SP 800-38D: 96 random
 * bits, 128 bits. Written by `fs.writeFile`: nothing is flushed, and a crash in the middle leaves
 * neither the old session nor the new one.
 */
export const jsonGcm: Peer = {
  id: 'json-gcm',
  name: 'JSON, AES-256-GCM, in place',
  rewrites: true,
  async open(folder, initial) {
    const path = join(folder, 'session.enc');
    const key = randomBytes(32);
    const events = [...initial];
    const write = (): Promise<void> => {
      const nonce = randomBytes(NONCE);
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG });
      const sealed = [cipher.update(JSON.stringify({ events }), 'utf8'), cipher.final()];
      return writeFile(path, Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]), { mode: 0o600 });
    };
    await write();
    return {
      step(added) {
        events.push(...added);
        return write();
      },
      count() {
        const bytes = readFileSync(path);
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE), { authTagLength: TAG });
        decipher.setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
        const plain = Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]);
        return (JSON.parse(plain.toString()) as { events: Event[] }).events.length;
      },
      close: () => undefined,
    };
  },
};
