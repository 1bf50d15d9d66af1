import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Event } from '../../src/session/event/event.ts';
import type { Peer } from './peer.ts';

/**
 * Creates the table for events in both databases; no index except the primary key, which is
 * cheapest for them.
 */
export const TABLE =
  'CREATE TABLE event (id INTEGER PRIMARY KEY, session TEXT NOT NULL, ts INTEGER NOT NULL, body TEXT NOT NULL) STRICT';
/** Inserts one event. */
export const INSERT = 'INSERT INTO event (session, ts, body) VALUES (?, ?, ?)';

/**
 * SQLite as bundled with Node, a row for each event and a transaction for each step, as in goose,
 * opencode and llm. WAL with synchronous=FULL, which is durable after a power cut according to
 * https://sqlite.org/pragma.html#pragma_synchronous; NORMAL is not. Checkpoints are automatic, the
 * default. Plaintext.
 */
export const sqlite: Peer = {
  id: 'sqlite',
  name: 'node:sqlite, WAL, FULL',
  rewrites: false,
  async open(folder, initial) {
    const database = new DatabaseSync(join(folder, 'sessions.db'));
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${TABLE}`);
    const begin = database.prepare('BEGIN IMMEDIATE');
    const commit = database.prepare('COMMIT');
    const insert = database.prepare(INSERT);
    const step = (events: readonly Event[]): void => {
      begin.run();
      for (const event of events) insert.run('a', event.ts, JSON.stringify(event));
      commit.run();
    };
    step(initial);
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return {
      step,
      count: () => Number(database.prepare('SELECT count(*) AS count FROM event').get()?.['count']),
      close: () => database.close(),
    };
  },
};
