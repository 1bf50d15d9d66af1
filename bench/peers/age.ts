import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Decrypter, Encrypter, generateIdentity, identityToRecipient } from 'age-encryption';
import writeFileAtomic from 'write-file-atomic';
import { encodeEvents } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';

/**
 * JSONL sealed by age (typage, `age-encryption`) for one X25519 recipient, as in the first example
 * of its README; the whole file is replaced at every step through write-file-atomic. A passphrase
 * would cost a second of scrypt as well, at every step.
 */
export const age: Peer = {
  id: 'age',
  name: 'age, write-file-atomic',
  rewrites: true,
  async open(folder, initial) {
    const path = join(folder, 'session.age');
    const identity = await generateIdentity();
    const encrypter = new Encrypter();
    encrypter.addRecipient(await identityToRecipient(identity));
    const lines = [encodeEvents(initial)];
    const write = async (): Promise<void> => {
      const sealed = await encrypter.encrypt(Buffer.concat(lines));
      await writeFileAtomic(path, Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length), { mode: 0o600 });
    };
    await write();
    return {
      step(added) {
        lines.push(encodeEvents(added));
        return write();
      },
      async count() {
        const decrypter = new Decrypter();
        decrypter.addIdentity(identity);
        return (await decrypter.decrypt(readFileSync(path), 'text')).split('\n').length - 1;
      },
      close: () => undefined,
    };
  },
};
