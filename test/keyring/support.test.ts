import { describe, expect, it } from 'vitest';
import { requireKeychain, startKeychain } from '../support/keychain.ts';

describe('startKeychain', () => {
  it('starts an unlocked keychain that stores, lists, locks and deletes items', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    await keychain.storeItem('ab', 'secret words');
    const [item, ...others] = await keychain.items();
    expect(others).toEqual([]);
    expect(item).toEqual({
      label: 'coffer/ab',
      secret: 'secret words',
      schema: 'org.freedesktop.Secret.Generic',
      attributes: { service: 'coffer', account: 'ab' },
    });
    await keychain.lockCollection();
    expect((await keychain.items())[0]?.secret).toBeUndefined();
  });

  it('starts empty every time', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    expect(await keychain.items()).toEqual([]);
    await keychain.storeItem('ab', 'x');
    await keychain.deleteItem('ab');
    expect(await keychain.items()).toEqual([]);
  });
});
