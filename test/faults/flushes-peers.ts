import { createCipheriv, randomBytes } from 'node:crypto';
import { fdatasyncSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { eventsOf, Transcript } from '../../bench/transcript.ts';

/*
 * The ways other programs save a step, in a separate process: makes a conversation of that many
 * bytes in the way named on the command line, then saves one step for each line of stdin and
 * answers with a line when its promise resolves, or its call returns.
 */

/** A way of saving a conversation. */
type Peer = (folder: string, before: readonly string[]) => Promise<(line: string) => Promise<void> | void>;

const peers: Readonly<Record<string, Peer>> = {
  'append + fdatasync': async (folder, before) => {
    const file = openSync(join(folder, 'session.jsonl'), 'a');
    writeSync(file, before.join(''));
    return (line) => {
      writeSync(file, line);
      fdatasyncSync(file);
    };
  },
  append: async (folder, before) => {
    const file = openSync(join(folder, 'session.jsonl'), 'a');
    writeSync(file, before.join(''));
    return (line) => void writeSync(file, line);
  },
  'write-file-atomic': async (folder, before) => {
    const { default: writeFileAtomic } = await import('write-file-atomic');
    const lines = [...before];
    return async (line) => {
      lines.push(line);
      await writeFileAtomic(join(folder, 'session.json'), lines.join(''));
    };
  },
  'AES-GCM in place': async (folder, before) => {
    const lines = [...before];
    const key = randomBytes(32);
    return (line) => {
      lines.push(line);
      const cipher = createCipheriv('aes-256-gcm', key, randomBytes(12), { authTagLength: 16 });
      const sealed = [cipher.update(lines.join('')), cipher.final(), cipher.getAuthTag()];
      writeFileSync(join(folder, 'session.bin'), Buffer.concat(sealed));
    };
  },
  'sqlite, WAL, FULL': async (folder, before) => {
    const database = new DatabaseSync(join(folder, 'sessions.db'));
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE event (id INTEGER PRIMARY KEY, body TEXT)',
    );
    const insert = database.prepare('INSERT INTO event (body) VALUES (?)');
    database.exec('BEGIN');
    for (const line of before) insert.run(line);
    database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
    return (line) => void insert.run(line);
  },
};

const [name = '', folder = '', size = '0'] = process.argv.slice(2);
const transcript = new Transcript(1);
const peer = peers[name];
if (peer === undefined) throw new Error(`no peer ${name}`);
const save = await peer(folder, eventsOf(transcript, Number(size)).map(lineOf));
process.stdout.write('ready\n');
for await (const _ of createInterface({ input: process.stdin })) {
  await save(eventsOf(transcript, 2048).map(lineOf).join(''));
  process.stdout.write('saved\n');
}

function lineOf(event: object): string {
  return `${JSON.stringify(event)}\n`;
}
