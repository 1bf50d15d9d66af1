import { MemoryKeyring } from '../../../src/keyring/memory.ts';
import { openVault } from '../../../src/session/open-vault.ts';

/*
 * Lists a vault a number of times, each time as a new process would, and prints how many rows are
 * unreadable or rolled back. Arguments: `directory`, key id, key (hex) and times.
 */

const [, , directory, keyId = '', key = '', times] = process.argv;
const keyring = new MemoryKeyring();
await keyring.set(keyId, Buffer.from(key, 'hex'));
let wrong = 0;
for (let time = 0; time < Number(times); time++) {
  await using sessions = await openVault({ directory, keyring, env: {} });
  const rows = await sessions.list();
  wrong += rows.filter((row) => row.unreadable !== undefined || row.rolledBack !== undefined).length;
  wrong += sessions.upkeep.seen?.state === 'good' ? sessions.upkeep.seen.removed.length : 1;
}
process.stdout.write(`${wrong}\n`);
