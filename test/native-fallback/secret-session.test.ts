import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { Bus as Connection } from '../../native-fallback/dbus.ts';
import type { BusMessage } from '../../native-fallback/dbus-wire.ts';
import { look, read, type Terms, write } from '../../native-fallback/secret-service.ts';
import { openSession } from '../../native-fallback/secret-session.ts';
import { type Said, startStandIn } from '../support/dbus-service.ts';
import { type Bus, requireKeychain, startBus, startKeychain } from '../support/keychain.ts';
import { ROOMY } from '../support/patience.ts';

const ITEM = { service: 'coffer', account: '00112233445566778899aabbccddeeff' };
const NAME = 'org.freedesktop.secrets';
const SERVICE = { destination: NAME, path: '/org/freedesktop/secrets', interface: 'org.freedesktop.Secret.Service' };

beforeEach(requireKeychain);

describe('a session with the Secret Service', () => {
  it('hides the secret from listeners on the bus, in both directions', async () => {
    await using keychain = await startKeychain();
    const terms = termsOf(keychain);
    const secret = randomBytes(32).toString('base64');
    const monitor = await listen(keychain);
    expect(await write(terms, ITEM, secret)).toMatchObject({ outcome: 'READY' });
    expect(await read(terms, ITEM)).toEqual({ outcome: 'READY', text: secret });
    expect(await look(terms, ITEM)).toMatchObject({ text: secret });
    // A plain secret is seen. This one is sent after all the others, and the monitor sees things in
    // order.
    const shown = randomBytes(32).toString('base64');
    await keychain.storeItem('f'.repeat(32), shown);
    await readPlain(keychain, 'f'.repeat(32));
    await monitor.sees(shown);
    expect(monitor.seen().includes(secret)).toBe(false);
  });

  it('derives the same key as the service, even with leading zeros', async () => {
    await using keychain = await startKeychain();
    await keychain.storeItem(ITEM.account, 'the text');
    using bus = await Connection.connect({ ...keychain.env }, 50_000);
    const query = [['service', ITEM.service]];
    const [paths] = await bus.call(SERVICE, 'SearchItems', 'a{ss}', query);
    const item = {
      destination: NAME,
      path: (paths as string[])[0] as string,
      interface: 'org.freedesktop.Secret.Item',
    };
    // Each of a session's two numbers and their shared secret is short once in 256 times.
    for (let times = 0; times < 300; times++) {
      const session = await openSession(bus);
      const [secret] = await bus.call(item, 'GetSecret', 'o', session.path);
      expect(session.unwrap(secret)).toEqual({ text: 'the text', contentType: 'text/plain' });
    }
  });

  it.for([
    ['nothing', Buffer.alloc(0)],
    ['0', Buffer.alloc(128)],
    ['1', Buffer.from([1])],
    ['a number beyond the group', Buffer.alloc(128, 0xff)],
    ['a number far beyond it', Buffer.alloc(400, 1)],
    ['no number', 'text'],
  ] as const)('refuses a service that offers %s', async ([, value]) => {
    await using bus = await startBus();
    const signature = typeof value === 'string' ? 's' : 'ay';
    const said = { signature: 'vo', body: [{ signature, value }, '/session/1'] };
    using _service = await startStandIn(bus.env, NAME, () => said);
    using connection = await Connection.connect({ ...bus.env }, ROOMY.silence);
    await expect(openSession(connection)).rejects.toMatchObject({ kind: 'absent' });
  });

  it('rejects a secret that was not encrypted for it', async () => {
    await using keychain = await startKeychain();
    using connection = await Connection.connect({ ...keychain.env }, ROOMY.silence);
    const session = await openSession(connection);
    const [, iv, value, type] = session.wrap('the text');
    expect(session.unwrap([session.path, iv, value, type])).toEqual({ text: 'the text', contentType: 'text/plain' });
    const faults = [
      [session.path, iv, value.subarray(1), type],
      [session.path, iv.subarray(1), value, type],
      [session.path, iv, Buffer.alloc(0), type],
      [session.path, Buffer.alloc(0), Buffer.from('the text'), type],
      ['the text'],
      'the text',
    ];
    for (const secret of faults) expect(() => session.unwrap(secret)).toThrow(/unknown format/);
  });

  it('uses plain only if the service supports nothing else', async () => {
    await using bus = await startBus();
    const asked: unknown[] = [];
    let error = 'org.freedesktop.DBus.Error.NotSupported';
    const answer = ({ body }: BusMessage): Said => {
      asked.push(body?.[0]);
      if (body?.[0] !== 'plain') return { error };
      return { signature: 'vo', body: [{ signature: 's', value: '' }, '/session/1'] };
    };
    using _service = await startStandIn(bus.env, NAME, answer);
    using connection = await Connection.connect({ ...bus.env }, ROOMY.silence);
    const session = await openSession(connection);
    expect(session.unwrap(session.wrap('the text'))).toEqual({ text: 'the text', contentType: 'text/plain' });
    error = 'org.freedesktop.DBus.Error.Failed';
    await expect(openSession(connection)).rejects.toMatchObject({ errorName: error });
    const encrypted = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';
    expect(asked).toEqual([encrypted, 'plain', encrypted]);
  });
});

function termsOf(bus: Bus): Terms {
  return { ...ROOMY, env: { ...bus.env } };
}

async function readPlain(keychain: Bus, account: string): Promise<void> {
  using bus = await Connection.connect({ ...keychain.env }, ROOMY.silence);
  const [, session] = await bus.call(SERVICE, 'OpenSession', 'sv', 'plain', { signature: 's', value: '' });
  const [paths] = await bus.call(SERVICE, 'SearchItems', 'a{ss}', [['account', account]]);
  const item = { destination: NAME, path: (paths as string[])[0] as string, interface: 'org.freedesktop.Secret.Item' };
  await bus.call(item, 'GetSecret', 'o', session);
}

/** Records every byte that crosses the bus. */
async function listen(bus: Bus): Promise<{ seen(): Buffer; sees(text: string): Promise<void> }> {
  const parts: Buffer[] = [];
  const waiting = new Set<() => void>();
  const monitor: ChildProcess = bus.spawn('dbus-monitor', ['--binary']);
  monitor.stdout?.on('data', (part: Buffer) => {
    parts.push(part);
    for (const look of waiting) look();
  });
  const seen = (): Buffer => Buffer.concat(parts);
  const sees = (text: string): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!seen().includes(text)) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  // A monitor is notified that it has lost its own name, and sees everything from then on.
  await sees('NameLost');
  return { seen, sees };
}
