import { describe, expect, it } from 'vitest';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import type { Keyring } from '../../src/keyring/outcomes.ts';
import { type KeyWait, Waits } from '../../src/keyring/waits.ts';

/** Returns a keyring whose calls all take the given number of milliseconds. */
function slow(milliseconds: number): Keyring {
  const keyring = new MemoryKeyring();
  return {
    backend: 'memory',
    probe: () => after(milliseconds, keyring.probe()),
    provider: () => after(milliseconds, keyring.provider()),
    get: (keyId) => after(milliseconds, keyring.get(keyId)),
    set: (keyId, secret) => after(milliseconds, keyring.set(keyId, secret)),
    delete: (keyId) => after(milliseconds, keyring.delete(keyId)),
  };
}

async function after<T>(milliseconds: number, result: Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return result;
}

describe('Waits', () => {
  it('reports nothing for a keyring that answers immediately', async () => {
    const reported: KeyWait[] = [];
    const waits = new Waits((wait) => reported.push(wait));
    const keyring = waits.around(slow(1));
    await keyring.probe();
    await keyring.get('0'.repeat(32));
    expect(reported).toEqual([]);
  });

  it('reports a long wait once, even if it consists of short calls', async () => {
    const reported: KeyWait[] = [];
    const waits = new Waits((wait) => reported.push(wait));
    const keyring = waits.around(slow(700));
    let isLong = false;
    for (let calls = 0; calls < 4; calls++) {
      void waits.long.then(() => {
        isLong = true;
      });
      await keyring.probe();
    }
    expect(isLong).toBe(true);
    expect(reported).toEqual(['keychain']);
  });

  it('resolves `long` for a caller that has waited since an earlier, quick call', async () => {
    const waits = new Waits();
    const { long } = waits;
    await waits.around(slow(1)).probe();
    const got = waits.around(slow(2_500)).get('0'.repeat(32));
    expect(await Promise.race([long.then(() => 'told'), got.then(() => 'answered')])).toBe('told');
    expect(waits.isLong).toBe(true);
    await got;
    expect(waits.isLong).toBe(false);
  });

  it('reports a prompt immediately, and not the wait for it', async () => {
    const reported: KeyWait[] = [];
    const waits = new Waits((wait) => reported.push(wait));
    const { around, onPrompt } = waits;
    const keyring: Keyring = {
      ...slow(2_500),
      get: async (keyId) => {
        onPrompt();
        return slow(2_500).get(keyId);
      },
    };
    const got = around.call(waits, keyring).get('0'.repeat(32));
    expect(reported).toEqual(['prompt']);
    await waits.long;
    await got;
    expect(reported).toEqual(['prompt']);
  });

  it('counts a later wait separately', async () => {
    const reported: KeyWait[] = [];
    const waits = new Waits((wait) => reported.push(wait));
    for (let times = 0; times < 2; times++) {
      await waits.around(slow(2_500)).probe();
      await after(1_500, Promise.resolve());
      await waits.around(slow(1)).probe();
    }
    expect(reported).toEqual(['keychain', 'keychain']);
  });
});
