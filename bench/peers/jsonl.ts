import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeEvents } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';

/**
 * A line of JSON for each event, appended to a file that stays open, as in Codex; nothing is
 * flushed. Plaintext.
 */
export const jsonl: Peer = lines('jsonl', 'JSONL, no flush');

/**
 * The same with `fdatasync` after each step, which according to fdatasync(2) and
 * https://sqlite.org/atomiccommit.html makes an append survive a power cut.
 */
export const jsonlSync: Peer = lines('jsonl-sync', 'JSONL, fdatasync');

function lines(id: 'jsonl' | 'jsonl-sync', name: string): Peer {
  return {
    id,
    name,
    rewrites: false,
    async open(folder, initial) {
      const path = join(folder, 'session.jsonl');
      const file = await open(path, 'a', 0o600);
      await file.appendFile(encodeEvents(initial));
      await file.sync();
      return {
        async step(added) {
          await file.appendFile(encodeEvents(added));
          if (id === 'jsonl-sync') await file.datasync();
        },
        count: () => readFileSync(path, 'utf8').split('\n').length - 1,
        close: () => file.close(),
      };
    },
  };
}
