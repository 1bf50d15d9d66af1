import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder, user } from '../../test/support/vault.ts';
import { placed } from '../steps-session.ts';
import { eventsOf, Transcript } from '../transcript.ts';
import { peers } from './all.ts';

const SECRET = 'a sentence that stands nowhere else';
const sealed = ['sqlcipher', 'json-gcm', 'conf', 'age'];

describe.each(peers)('$name', (peer) => {
  it('keeps its initial events and every step on disk, sealed if it claims to seal', async () => {
    const folder = temporaryFolder();
    const ids = { next: 1 };
    const open = await peer.open(folder, [...placed(eventsOf(new Transcript(1), 20_000), ids)]);
    const began = ids.next - 1;
    expect(await open.count()).toBe(began);
    for (let step = 0; step < 3; step++) await open.step([...placed([user(SECRET), user('b')], ids)]);
    expect(await open.count()).toBe(began + 6);
    await open.close();
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const bytes = Buffer.concat(files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))));
    expect(bytes.includes(SECRET)).toBe(!sealed.includes(peer.id));
  });
});
