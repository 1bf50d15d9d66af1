import { createInterface } from 'node:readline';
import { isCofferError } from '../../src/errors.ts';
import { sessionsOf } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import type { Used } from './first-use.ts';

/*
 * One of the processes that use a vault for the first time. For each directory named on a line of
 * stdin it gets the key, saves one step and answers with a line of JSON. `read <directory>` reads
 * the vault later and returns its content.
 */

/** Number of times a process asks a busy keychain again, as a chat does at every step. */
const PATIENCE = 30;

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [, verb, directory] = /^(use|read) (.*)$/.exec(line) ?? [];
  await using vault = sessionsOf({ directory });
  const used: Used = { again: 0 };
  try {
    await (verb === 'use' ? use(vault, used) : read(vault, used));
  } catch (error) {
    used.error = String(error);
  }
  process.stdout.write(`${JSON.stringify(used)}\n`);
}

async function use(vault: Sessions, used: Used): Promise<void> {
  while (vault.keys.status.state !== 'ready') {
    try {
      await vault.keys.unlock();
    } catch (error) {
      if (!isCofferError(error, 'KEY_TIMEOUT') || ++used.again > PATIENCE) throw error;
    }
  }
  used.key = vault.keys.status.keyId;
  used.how = vault.keys.status.how;
  const session = vault.begin({ directory: '/work/project', model: 'demo/echo' });
  await session.append({ type: 'message', message: { role: 'user', content: `by ${process.pid}` } });
  used.saved = true;
  await session.close();
}

async function read(vault: Sessions, used: Used): Promise<void> {
  await vault.keys.unlock();
  used.key = vault.keys.status.state === 'ready' ? vault.keys.status.keyId : undefined;
  used.texts = [];
  for (const row of await vault.list()) {
    const { state } = await vault.read(row);
    used.texts.push(...state.messages.map(({ content }) => String(content)));
  }
}
