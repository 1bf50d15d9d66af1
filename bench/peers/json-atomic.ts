import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import type { Event } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';

/**
 * One JSON document, rewritten completely at every step, as in Nanocoder. write-file-atomic as its
 * README describes it: a temporary file, `fsync` (its default) and a rename. Plaintext; the
 * directory is not flushed.
 */
export const jsonAtomic: Peer = {
  id: 'json-atomic',
  name: 'JSON, write-file-atomic',
  rewrites: true,
  async open(folder, initial) {
    const path = join(folder, 'session.json');
    const events = [...initial];
    const write = (): Promise<void> => writeFileAtomic(path, JSON.stringify({ events }), { mode: 0o600 });
    await write();
    return {
      step(added) {
        events.push(...added);
        return write();
      },
      count: () => (JSON.parse(readFileSync(path, 'utf8')) as { events: Event[] }).events.length,
      close: () => undefined,
    };
  },
};
