import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openVault } from '../../src/session/open-vault.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { realistic } from '../support/vast.ts';
import { reply, user } from '../support/vault.ts';

describe('coffer sessions --search', () => {
  it('leaves a sealed index behind, and shows the same with it', async () => {
    await using place = await makePlace();
    await furnish(place, 12);
    const first = await place.run(['sessions', '--search', 'xylophone']);
    expect(first.code).toBe(0);
    expect(first.stdout).toContain('user: the Xylophone 7');
    expect(existsSync(join(place.data, 'texts'))).toBe(true);
    const bytes = readFileSync(join(place.data, 'texts'));
    for (const word of ['xylophone', 'Xylophone', 'function']) expect(bytes.includes(word)).toBe(false);
    expect(await place.run(['sessions', '--search', 'xylophone'])).toEqual(first);
    expect(readFileSync(join(place.data, 'texts')).equals(bytes)).toBe(true);
    rmSync(join(place.data, 'texts'));
    expect(await place.run(['sessions', '--search', 'xylophone'])).toEqual(first);
  });

  it('says on a terminal why it is still running, and can be ended then', async () => {
    await using place = await makePlace();
    await furnish(place, 12);
    const { stdout } = await place.run(['sessions', '--search', 'nowhere']);
    rmSync(join(place.data, 'texts'));
    await using terminal = place.terminal(['sessions', '--search', 'nowhere']);
    await terminal.waitFor(/nothing found for nowhere/);
    await terminal.waitFor(/indexing for the next search \(ctrl\+c stops it\): \d+ of \d+/);
    terminal.key('ctrl+c');
    await terminal.exit;
    expect((await place.run(['sessions', '--search', 'nowhere'])).stdout).toBe(stdout);
  });

  it('shows the same after it was interrupted while it wrote the index', async () => {
    await using place = await makePlace();
    await furnish(place, 12);
    const first = await place.run(['sessions', '--search', 'xylophone']);
    rmSync(join(place.data, 'texts'));
    const watched = watch(place.data);
    onTestFinished(() => watched.close());
    const changed = once(watched, 'change');
    const interrupted = await place.run(['sessions', '--search', 'xylophone'], {
      onOutput: async (_, child) => {
        await changed;
        child.kill('SIGINT');
      },
    });
    expect(interrupted.stdout).toBe(first.stdout);
    expect(await place.run(['sessions', '--search', 'xylophone'])).toEqual(first);
    expect(readdirSync(place.data)).toContain('texts');
  });
});

/** Makes long sessions, the last of them with a unique word. */
async function furnish(place: Place, count: number): Promise<void> {
  await using vault = await openVault({ directory: place.data, env: place.libraryEnv });
  const said = realistic(20_000);
  for (let number = 0; number < count; number++) {
    const session = vault.begin({ directory: place.project, model: 'demo/echo' });
    await session.append(...said(number), user(number % 5 === 2 ? `the Xylophone ${number}` : 'hay'), reply('ok'));
    await session.close();
  }
}
