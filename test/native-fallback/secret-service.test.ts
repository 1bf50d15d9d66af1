import { describe, expect, it, type TestContext } from 'vitest';
import { BusError } from '../../native-fallback/dbus.ts';
import { probe, providerName, read, remove, type Terms, write } from '../../native-fallback/secret-service.ts';
import {
  failureAnswer,
  probeAnswer,
  readRefusal,
  type ServiceState,
  writeRefusal,
} from '../../native-fallback/secret-state.ts';
import type { StandIn } from '../support/dbus-service.ts';
import { type Bus, requireKeychain, startBus, startKeychain } from '../support/keychain.ts';
import { ROOMY, ROOMY_ATTENDED } from '../support/patience.ts';
import { type Answers, keychainThat, secretOf, values } from '../support/stand-in-keychain.ts';

const ITEM = { service: 'coffer', account: '00112233445566778899aabbccddeeff' };
const PROMPT = 'org.freedesktop.Secret.Prompt';

describe('the refusals for a state', () => {
  const unlocked: ServiceState = { collection: '/c', isLocked: false, open: [], shut: [] };
  const locked: ServiceState = { ...unlocked, isLocked: true };
  const bare: ServiceState = { ...unlocked, collection: undefined };
  const open = ['/c/1'];

  it.each([
    ['unlocked, no item', unlocked, 'READY', 'NOT_FOUND', 'NOT_FOUND', undefined, undefined],
    ['unlocked, an item', { ...unlocked, open }, 'READY', undefined, undefined, undefined, undefined],
    ['unlocked, a locked item', { ...unlocked, shut: open }, 'READY', 'LOCKED', undefined, undefined, undefined],
    [
      'unlocked, an item and a locked one',
      { ...unlocked, open, shut: ['/d/1'] },
      'READY',
      undefined,
      undefined,
      undefined,
      undefined,
    ],
    ['locked, no item in sight', locked, 'LOCKED', 'LOCKED', undefined, 'LOCKED', undefined],
    ['locked, a locked item', { ...locked, shut: open }, 'LOCKED', 'LOCKED', undefined, 'LOCKED', undefined],
    ['locked, an item elsewhere', { ...locked, open }, 'LOCKED', undefined, undefined, 'LOCKED', undefined],
    ['no collection, no item', bare, 'ABSENT', 'NOT_FOUND', 'NOT_FOUND', 'ABSENT', 'ABSENT'],
    ['no collection, an item', { ...bare, open }, 'ABSENT', undefined, undefined, 'ABSENT', 'ABSENT'],
    ['no collection, a locked item', { ...bare, shut: open }, 'ABSENT', 'LOCKED', undefined, 'ABSENT', 'ABSENT'],
  ] as const)('%s', (_, state, probed, reads, readsAsking, writes, writesAsking) => {
    expect(probeAnswer(state).outcome).toBe(probed);
    expect(readRefusal(state, false)?.outcome).toBe(reads);
    expect(readRefusal(state, true)?.outcome).toBe(readsAsking);
    expect(writeRefusal(state, false)?.outcome).toBe(writes);
    expect(writeRefusal(state, true)?.outcome).toBe(writesAsking);
  });
});

describe('failureAnswer', () => {
  it.each([
    ['org.freedesktop.Secret.Error.IsLocked', 'LOCKED'],
    ['org.freedesktop.Secret.Error.NoSuchObject', 'NOT_FOUND'],
    ['org.freedesktop.DBus.Error.ServiceUnknown', 'ABSENT'],
    ['org.freedesktop.DBus.Error.NoReply', 'ABSENT'],
    ['org.freedesktop.DBus.Error.Spawn.ChildExited', 'ABSENT'],
    ['org.freedesktop.DBus.Error.UnknownMethod', 'ABSENT'],
    ['org.freedesktop.DBus.Error.TimedOut', 'TIMEOUT'],
    ['org.freedesktop.DBus.Error.AccessDenied', 'DECLINED'],
    ['', 'DECLINED'],
  ])('maps %j to %s', (name, outcome) => {
    expect(failureAnswer(new BusError('refused', 'the call returned an error', name))).toMatchObject({ outcome });
  });

  it('repeats only valid characters of an error name', () => {
    const { detail } = failureAnswer(new BusError('refused', '', `a.b\u001b[2J\n${'x'.repeat(500)}`));
    expect(detail).toMatch(/^the keychain refused \(a\.b2Jx{1,120}\)$/);
  });
});

describe('the fallback on a keychain that prompts', () => {
  it('reads an item that a prompt has unlocked', async (context) => {
    await using bus = await quietBus(context);
    let isLocked = true;
    using keychain = await texted(bus, {
      SearchItems: () => values('aoao', isLocked ? [] : ['/c/1'], isLocked ? ['/c/1'] : []),
      Unlock: () => values('aoo', [], '/prompt/1'),
      Prompt: () => {
        isLocked = false;
        keychain.emit('/prompt/1', PROMPT, 'Completed', 'bv', [false, { signature: 'ao', value: ['/c/1'] }]);
        return values('');
      },
    });
    expect(await read(termsOf(bus, true), ITEM)).toEqual({ outcome: 'READY', text: 'the text' });
  });

  it('reads an unlocked item without a prompt', async (context) => {
    await using bus = await quietBus(context);
    let isLocked = true;
    using _keychain = await texted(bus, {
      SearchItems: () => values('aoao', isLocked ? [] : ['/c/1'], isLocked ? ['/c/1'] : []),
      Unlock: () => {
        isLocked = false;
        return values('aoo', ['/c/1'], '/');
      },
    });
    expect(await read(termsOf(bus, true), ITEM)).toEqual({ outcome: 'READY', text: 'the text' });
  });

  it('returns NOT_FOUND if the unlocked collection has no such item', async (context) => {
    await using bus = await quietBus(context);
    using _keychain = await texted(bus, {
      SearchItems: () => values('aoao', [], []),
      Get: () => values('v', { signature: 'b', value: true }),
      Unlock: () => values('aoo', ['/c'], '/'),
    });
    expect(await read(termsOf(bus, true), ITEM)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it.for([
    ['allowed', false, 'READY'],
    ['dismissed', true, 'DECLINED'],
  ] as const)('writes and deletes through a prompt that is %s', async ([, dismissed, outcome], context) => {
    await using bus = await quietBus(context);
    using keychain = await texted(bus, {
      CreateItem: () => values('oo', '/', '/prompt/1'),
      Delete: () => values('o', '/prompt/1'),
      Prompt: () => {
        const result = { signature: 'o', value: dismissed ? '/' : '/c/1' };
        keychain.emit('/prompt/1', PROMPT, 'Completed', 'bv', [dismissed, result]);
        return values('');
      },
    });
    expect(await write(termsOf(bus, true), ITEM, 'the text')).toMatchObject({ outcome });
    expect(await remove(termsOf(bus, true), ITEM)).toMatchObject({ outcome });
  });
});

describe('the fallback on a keychain that misbehaves', () => {
  it('reports no write that does not read back', async (context) => {
    await using bus = await quietBus(context);
    using _keychain = await texted(bus, {});
    expect(await write(termsOf(bus), ITEM, 'another text')).toEqual({
      outcome: 'DECLINED',
      detail: 'the keychain accepted the key but does not return it',
    });
  });

  it('reports no write that returns no item', async (context) => {
    await using bus = await quietBus(context);
    using _keychain = await texted(bus, { CreateItem: () => values('oo', '/', '/') });
    expect(await write(termsOf(bus), ITEM, 'the text')).toMatchObject({ outcome: 'DECLINED' });
  });

  it.for([
    ['an alias that is not a path', { ReadAlias: () => values('s', 'default') }],
    ['numbers for items', { SearchItems: () => values('auau', [1], [2]) }],
    ['text for items', { SearchItems: () => values('ss', 'a', 'b') }],
    ['too few answers', { SearchItems: () => values('') }],
    ['a session that is not a path', { OpenSession: () => values('vs', { signature: 's', value: '' }, 'x') }],
    ['a secret that is not a struct', { GetSecret: () => values('s', 'the text') }],
    ['a secret that is not bytes', { GetSecret: () => values('(oass)', ['/s', ['a'], 'b']) }],
    ['errors', { GetSecret: () => ({ error: 'org.freedesktop.DBus.Error.ServiceUnknown' }) }],
  ] as const)('returns ABSENT for %s', async ([, answers], context) => {
    await using bus = await quietBus(context);
    using _keychain = await texted(bus, answers);
    expect(await read(termsOf(bus), ITEM)).toMatchObject({ outcome: 'ABSENT' });
  });

  it('treats a collection as locked if it does not tell', async (context) => {
    await using bus = await quietBus(context);
    using _keychain = await texted(bus, { Get: () => values('v', { signature: 's', value: 'no' }) });
    expect(await probe(termsOf(bus), ITEM)).toMatchObject({ outcome: 'LOCKED' });
  });
});

describe('providerName', () => {
  it('names gnome-keyring', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    expect(await providerName(termsOf(keychain))).toBe('gnome-keyring');
  });

  it('does not name an unknown provider', async (context) => {
    await using bus = await quietBus(context);
    using _keychain = await texted(bus, {});
    expect(await providerName(termsOf(bus))).toBe('Secret Service');
    expect(await providerName({ ...ROOMY, env: {} })).toBe('Secret Service');
  });
});

/** Starts an unlocked Secret Service with one item, except for `answers`. */
function texted(bus: Bus, answers: Answers): Promise<StandIn> {
  return keychainThat(bus, { GetSecret: () => secretOf('the text', 'text/plain'), ...answers });
}

async function quietBus(context: TestContext): Promise<Bus> {
  requireKeychain(context);
  return startBus();
}

function termsOf(bus: Bus, mayPrompt = false): Terms {
  return { ...(mayPrompt ? ROOMY_ATTENDED : ROOMY), env: { ...bus.env } };
}
