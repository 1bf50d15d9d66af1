import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { home } from '../support/vault.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

it('a vault frees sessions that are closed', async () => {
  await using vault = await home().open();
  const openOne = async (): Promise<WeakRef<object>> => {
    await using session = vault.begin({ directory: '/', model: 'demo/echo' });
    await session.append({ type: 'message', message: { role: 'user', content: 'hello' } });
    return new WeakRef(session);
  };
  const closed = await openOne();
  await openOne();
  await new Promise(setImmediate); // a WeakRef is kept until the current job ends
  collectGarbage();
  expect(closed.deref()).toBeUndefined();
});
