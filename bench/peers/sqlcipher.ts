import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3-multiple-ciphers';
import type { Event } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';
import { INSERT, TABLE } from './sqlite.ts';

/**
 * SQLCipher's format (version 4: AES-256-CBC and HMAC-SHA512 for each page) through
 * better-sqlite3-multiple-ciphers. The key is 32 raw bytes, without derivation
 * (https://www.zetetic.net/sqlcipher/sqlcipher-api/#key); WAL as better-sqlite3's
 * docs/performance.md recommends, and synchronous=FULL for durability, as with plain SQLite.
 */
export const sqlcipher: Peer = {
  id: 'sqlcipher',
  name: 'SQLCipher, WAL, FULL',
  rewrites: false,
  async open(folder, initial) {
    const database = new Database(join(folder, 'sessions.db'));
    database.pragma("cipher = 'sqlcipher'");
    database.pragma('legacy = 4');
    database.pragma(`key = "x'${randomBytes(32).toString('hex')}'"`);
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.exec(TABLE);
    const insert = database.prepare(INSERT);
    const step = database.transaction((events: readonly Event[]) => {
      for (const event of events) insert.run('a', event.ts, JSON.stringify(event));
    });
    step.immediate(initial);
    database.pragma('wal_checkpoint(TRUNCATE)');
    return {
      step: (events) => step.immediate(events),
      count: () => database.prepare('SELECT count(*) FROM event').pluck().get() as number,
      close: () => database.close(),
    };
  },
};
