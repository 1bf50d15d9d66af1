import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createItem, makeCollection } from '../faults/keychain-states-dbus.ts';
import { conversation, makePlace, type Place, usual } from '../support/coffer.ts';
import { type Bus, requireKeychain, startBus } from '../support/keychain.ts';

/** A keychain that holds the key of a vault, and one session in that vault. */
interface Kept {
  place: Place;
  bus: Bus;
  daemon: Awaited<ReturnType<Bus['startKeyring']>>;
  keyId: string;
  /** The secret of the keychain item. */
  secret: string;
}

/**
 * Faults of a keychain: how to cause each, what changes for coffer, and the name coffer must give
 * it.
 */
const states: readonly {
  name: string;
  bring(kept: Kept): Promise<Record<string, string | undefined>>;
  called: RegExp;
  /** Number of our items the keychain must hold in the end, if it can still be asked. */
  items?: number;
}[] = [
  {
    name: 'locked',
    async bring({ bus }) {
      await bus.lockCollection();
      return {};
    },
    called: /the keychain is locked/,
    items: 1,
  },
  {
    name: 'absent: no bus at all',
    bring: async () => ({ DBUS_SESSION_BUS_ADDRESS: undefined, XDG_RUNTIME_DIR: undefined }),
    called: /no session bus/,
  },
  {
    name: 'absent: a bus that is gone',
    bring: async ({ place }) => ({ DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(place.temp, 'gone')}` }),
    called: /session bus cannot be reached/,
  },
  {
    name: 'absent: a bus without a keychain on it',
    async bring({ daemon }) {
      const gone = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGKILL');
      await gone;
      return {};
    },
    called: /there is no keychain on the session bus/,
  },
  {
    name: 'never answering',
    async bring({ daemon }) {
      daemon.kill('SIGSTOP');
      return {};
    },
    called: /does not answer/,
  },
  {
    name: 'without the item',
    async bring({ bus, keyId }) {
      await bus.deleteItem(keyId);
      return {};
    },
    called: /no (such )?(item|key)|not found/,
    items: 0,
  },
  {
    name: 'with an item that is not a key',
    async bring({ bus, keyId }) {
      await bus.storeItem(keyId, 'this is no key');
      return {};
    },
    called: /not a (vault )?key|no (vault )?key/,
    items: 1,
  },
  {
    name: 'with another key in the item',
    async bring({ bus, keyId }) {
      await bus.storeItem(keyId, Buffer.alloc(32, 7).toString('base64'));
      return {};
    },
    called: /another key/,
    items: 1,
  },
];

describe('a keychain', () => {
  it.for(states)(
    '$name: named, exit 12, the file untouched, no second key',
    async ({ bring, called, items }, context) => {
      requireKeychain(context);
      await using kept = await keep();
      const { place, bus, keyId } = kept;
      const before = await place.sessionBytes();
      const start = usual(bus, await bring(kept));
      // In parallel: each waits fifteen seconds for a keychain that never answers.
      const commands = [['sessions'], ['export', '1'], ['resume', '1']];
      for (const refused of await Promise.all(commands.map((args) => place.run(args, start)))) {
        expect(refused.code).toBe(12);
        expect(refused.stdout).toBe('');
        expect(refused.stderr.trim().split('\n')).toHaveLength(1);
        expect(refused.stderr).toMatch(called);
        expect(refused.stderr).toContain(keyId);
      }
      const chat = await place.run(['--model', 'demo/echo'], {
        ...start,
        input: 'in memory\n/sessions\nstill there\n',
      });
      expect(chat.stdout).toContain('echo: in memory\n');
      expect(chat.stdout).toContain('echo: still there\n');
      expect(chat.stderr).toMatch(/NOT SAVED since \d\d:\d\d: /);
      expect(chat.stderr).toMatch(called);
      expect(chat.code).toBe(15);
      expect(await place.sessionBytes()).toEqual(before);
      expect(JSON.parse(await readFile(join(place.data, 'vault.json'), 'utf8')).key).toBe(keyId);
      if (items !== undefined) expect(await bus.items()).toHaveLength(items);
    },
  );

  it('whose prompt is dismissed is named, and the chat continues', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, bus } = kept;
    await bus.lockCollection();
    const before = await place.sessionBytes();
    // A user counts as present only with a terminal and a display. No program on this bus shows the
    // prompt, which counts as a dismissal.
    const start = usual(bus, { DISPLAY: ':99' });
    await using listing = place.terminal(['sessions'], start);
    await listing.waitFor(/the keychain is locked; answer its prompt/);
    await listing.waitFor(/coffer: cannot get key \w+: the (unlock )?prompt was dismissed/);
    expect(await listing.exit).toEqual({ code: 12, signal: null });
    await using chat = place.terminal(['--model', 'demo/echo'], start);
    await chat.waitFor(/» /);
    chat.enter('one');
    await chat.waitFor(/echo: one/);
    await chat.waitFor(/NOT SAVED since \d\d:\d\d: the (unlock )?prompt was dismissed » /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 15, signal: null });
    expect(await place.sessionBytes()).toEqual(before);
  });

  it.for([
    {
      name: 'unlocked',
      lose: ({ bus }: Kept) => bus.lockCollection(),
      bringBack: ({ bus }: Kept) => bus.unlockCollection(),
    },
    {
      name: 'put back',
      lose: ({ bus, keyId }: Kept) => bus.deleteItem(keyId),
      bringBack: ({ bus, keyId, secret }: Kept) => bus.storeItem(keyId, secret),
    },
    {
      name: 'put right',
      lose: ({ bus, keyId }: Kept) => bus.storeItem(keyId, 'no key'),
      bringBack: ({ bus, keyId, secret }: Kept) => bus.storeItem(keyId, secret),
    },
  ])('that is $name while a chat runs gets everything saved', async ({ lose, bringBack }, context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, bus } = kept;
    await lose(kept);
    await using chat = place.terminal(['--model', 'demo/echo'], usual(bus));
    await chat.waitFor(/» /);
    chat.enter('one');
    await chat.waitFor(/echo: one/);
    await chat.waitFor(/NOT SAVED since \d\d:\d\d/);
    await chat.waitFor(/NOT SAVED since \d\d:\d\d.*» /);
    expect(await place.sessionFiles()).toHaveLength(1);
    await bringBack(kept);
    chat.enter('two');
    await chat.waitFor(/echo: two/);
    await chat.waitFor(/saved again/);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    const wanted = ['user: one', 'assistant: echo: one', 'user: two', 'assistant: echo: two'];
    expect(conversation(await place.exported('1', usual(bus)))).toEqual(wanted);
  });

  it('that is absent on first use leaves nothing on disk, and the chat says that it is in memory only', async (context) => {
    if (process.platform !== 'linux') context.skip('only Linux can be without a keychain');
    await using place = await makePlace();
    const none = { COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined };
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo'], { env: none, input: 'hello\n' });
    expect(code).toBe(0);
    expect(stdout).toBe('echo: hello\n');
    expect(stderr).toMatch(/memory/);
    expect(await readdir(place.data).catch(({ code }) => code)).toBe('ENOENT');
  });

  it('that is locked on first use makes no key and no vault', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    await bus.startKeyring();
    await bus.lockCollection();
    await using place = await makePlace();
    const { stdout, stderr } = await place.run(['--model', 'demo/echo'], { ...usual(bus), input: 'hello\n' });
    expect(stdout).toBe('echo: hello\n');
    expect(stderr).toMatch(/locked/);
    expect(await bus.items()).toEqual([]);
    expect(await readFile(join(place.data, 'vault.json')).catch(({ code }) => code)).toBe('ENOENT');
  });
});

describe('a vault whose vault.json is lost', () => {
  it('opens with the known key in the keychain, says so, and is not made again', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, bus, keyId } = kept;
    await rm(join(place.data, 'vault.json'));
    expect(conversation(await place.exported('1', usual(bus)))).toEqual(['user: hello', 'assistant: echo: hello']);
    const chat = await place.run(['--model', 'demo/echo'], { ...usual(bus), input: 'hello\n' });
    expect(chat).toMatchObject({ code: 0, stderr: expect.stringContaining('it is missing, and sealed files') });
    await expect(readFile(join(place.data, 'vault.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    const repaired = await place.run(['key', 'repair'], usual(bus));
    expect(repaired).toMatchObject({ code: 0, stdout: expect.stringContaining(keyId) });
    expect(await bus.items()).toHaveLength(1);
  });

  it('opens if the keychain holds the key and has no room for another', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, keyId, secret } = kept;
    await rm(join(place.data, 'vault.json'));
    await using bus = await startBus();
    await bus.startKeyring({ isLoggedIn: false });
    await createItem(bus, await makeCollection(bus), keyId, Buffer.from(secret));
    const { code, stdout } = await place.run(['sessions'], usual(bus));
    expect(code).toBe(13);
    expect(stdout).toContain('saved sessions (1)');
  });

  it('is refused if its key is lost too: no second key is made', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const { place, bus } = kept;
    await rm(join(place.data, 'vault.json'));
    await bus.deleteItem();
    const before = await place.sessionBytes();
    expect((await place.run(['sessions'], usual(bus))).code).toBe(12);
    const chat = await place.run(['--model', 'demo/echo'], { ...usual(bus), input: 'hello\n' });
    expect(chat.stdout).toBe('echo: hello\n');
    expect(chat.code).toBe(15);
    expect(await bus.items()).toEqual([]);
    expect(await place.sessionBytes()).toEqual(before);
  });
});

async function keep(): Promise<Kept & AsyncDisposable> {
  const bus = await startBus();
  const daemon = await bus.startKeyring();
  const place = await makePlace();
  const begun = await place.run(['--model', 'demo/echo'], { ...usual(bus), input: 'hello\n' });
  expect(begun).toMatchObject({ code: 0, stdout: 'echo: hello\n' });
  const { key } = JSON.parse(await readFile(join(place.data, 'vault.json'), 'utf8'));
  const items = await bus.items();
  expect(items.map(({ attributes }) => attributes['account'])).toEqual([key]);
  return {
    place,
    bus,
    daemon,
    keyId: key,
    secret: items[0]?.secret ?? '',
    async [Symbol.asyncDispose]() {
      await place[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
    },
  };
}
