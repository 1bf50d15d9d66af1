import { randomBytes } from 'node:crypto';
import Conf from 'conf';
import type { Event } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';

/**
 * conf with `encryptionKey`, and with `encryptionAlgorithm: 'aes-256-gcm'`, which its README
 * recommends to detect tampering. At every `set` it reads, opens, seals and writes its whole file,
 * through atomically.
 */
export const conf: Peer = {
  id: 'conf',
  name: 'conf, encryptionKey',
  rewrites: true,
  async open(folder, initial) {
    const store = new Conf<{ events: Event[] }>({
      cwd: folder,
      encryptionKey: randomBytes(32),
      encryptionAlgorithm: 'aes-256-gcm',
    });
    const events = [...initial];
    store.set('events', events);
    return {
      step(added) {
        events.push(...added);
        store.set('events', events);
      },
      count: () => store.get('events').length,
      close: () => undefined,
    };
  },
};
