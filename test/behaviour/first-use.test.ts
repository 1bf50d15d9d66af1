import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makePlace } from '../support/coffer.ts';
import { requireKeychain, startKeychain } from '../support/keychain.ts';

describe('first use', () => {
  it('by eight processes at once ends with one key that opens every session and snapshot, each with its own id', async (context) => {
    requireKeychain(context);
    await using bus = await startKeychain();
    await using place = await makePlace();
    const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR } = bus.env;
    const keychain = { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined };
    const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'];
    const runs = await Promise.all(
      words.map((word) => place.run(['--model', 'demo/echo'], { env: keychain, input: `${word}\n/save same\n` })),
    );
    for (const [index, run] of runs.entries()) {
      expect(run.code).toBe(0);
      expect(run.stdout).toMatch(new RegExp(`^echo: ${words[index]}\n`));
      expect(run.stdout).toMatch(/\nsession saved: \S+_same(-\d)? \(2 messages\)\n$/);
    }
    const { key } = JSON.parse(await readFile(join(place.data, 'vault.json'), 'utf8'));
    expect((await bus.items()).map(({ attributes }) => attributes['account'])).toEqual([key]);
    const files = [...(await place.sessionBytes()).values()];
    expect(files).toHaveLength(2 * words.length);
    expect(new Set(files.map((bytes) => bytes.toString('hex', 12, 28)))).toEqual(new Set([key]));
    const rows = await place.listed({ env: keychain });
    expect(rows.map(({ messages }) => messages)).toEqual(files.map(() => 2));
    expect(new Set(rows.map(({ id }) => id)).size).toBe(files.length);
    expect((await place.run(['doctor'], { env: keychain })).code).toBe(0);
  });
});
