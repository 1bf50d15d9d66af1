import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { NativeKeyring } from '../../src/keyring/fallback.ts';
import type { Answer, Keyring, LookUp } from '../../src/keyring/keyring.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import type { Patience } from '../../src/keyring/patience.ts';
import { startSilent, startSilentPrompter, startStandIn } from '../support/dbus-service.ts';
import { type Bus, requireKeychain, startBus, startKeychain } from '../support/keychain.ts';
import { PROMPT, ROOMY, ROOMY_ATTENDED } from '../support/patience.ts';

const KEY_ID = '00112233445566778899aabbccddeeff';
const SECRET = randomBytes(32);

/** Long enough for a keychain that answers, short enough to wait for one that does not. */
const BRIEF: Patience = { mayPrompt: false, silence: 700, prompt: 700 };
const BRIEF_ATTENDED: Patience = { ...ROOMY_ATTENDED, prompt: PROMPT };

type Make = (env: NodeJS.ProcessEnv, patience: Patience, onPrompt?: () => void) => Keyring;
const MAKERS: readonly [string, Make][] = [
  ['keytar', (env, patience, onPrompt) => new KeytarKeyring({ env, patience, onPrompt })],
  [
    'secret-service',
    (env, patience, onPrompt) => new NativeKeyring('secret-service', env, patience, 'linux', onPrompt),
  ],
];

describe.each(MAKERS)('%s', (_, make) => {
  it('returns LOCKED if the collection is locked and no user is present', async (context) => {
    await using keychain = await lockedKeychain(context);
    const keyring = make(envOf(keychain), ROOMY);
    expect(await asked(keyring)).toEqual({ probe: 'LOCKED', get: 'LOCKED', set: 'LOCKED', delete: 'LOCKED' });
  });

  it('returns LOCKED for a key that it cannot see in a locked collection', async (context) => {
    await using keychain = await lockedKeychain(context);
    const keyring = make(envOf(keychain), ROOMY);
    expect(outcomeOf(await keyring.get('f'.repeat(32)))).toBe('LOCKED');
  });

  it('finds the key again once the collection is unlocked', async (context) => {
    await using keychain = await lockedKeychain(context);
    const keyring = make(envOf(keychain), ROOMY);
    expect(outcomeOf(await keyring.get(KEY_ID))).toBe('LOCKED');
    await keychain.unlockCollection();
    expect(await keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: SECRET });
  });

  it('returns DECLINED if a user is present and the prompt is dismissed', async (context) => {
    // gnome-keyring finds no program that shows prompts on this bus, and treats that as dismissed.
    await using keychain = await lockedKeychain(context);
    const keyring = make(envOf(keychain), ROOMY_ATTENDED);
    const expected = { probe: 'LOCKED', get: 'DECLINED', set: 'DECLINED', delete: 'DECLINED' };
    expect(await asked(keyring)).toEqual(expected);
  });

  it('returns TIMEOUT if the prompt is not answered, and reports the prompt', async (context) => {
    await using keychain = await lockedKeychain(context);
    using prompter = await startSilentPrompter(keychain.env);
    let prompts = 0;
    const answer = await make(envOf(keychain), BRIEF_ATTENDED, () => prompts++).get(KEY_ID);
    expect(prompts).toBe(1);
    expect(answer).toEqual({ outcome: 'TIMEOUT', detail: 'the unlock prompt was not answered' });
    expect(prompter.calls.map(({ member }) => member)).toContain('BeginPrompting');
  });

  it('shows no prompt if no user is present', async (context) => {
    await using keychain = await lockedKeychain(context);
    using prompter = await startSilentPrompter(keychain.env);
    await asked(make(envOf(keychain), ROOMY));
    expect(prompter.calls).toEqual([]);
  });

  it('returns ABSENT if there is no bus', async (context) => {
    requireKeychain(context);
    const keyring = make({ PATH: process.env['PATH'] }, ROOMY);
    expect(await asked(keyring)).toEqual(everything('ABSENT'));
    expect((await keyring.probe()).detail).toBe('there is no session bus');
  });

  it('returns ABSENT if the address of the bus is stale', async (context) => {
    requireKeychain(context);
    const keychain = await startKeychain();
    const env = envOf(keychain);
    await keychain.dispose();
    expect(await asked(make(env, ROOMY))).toEqual(everything('ABSENT'));
  });

  it('returns ABSENT if the bus has no Secret Service', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const keyring = make(envOf(bus), ROOMY);
    expect(await asked(keyring)).toEqual(everything('ABSENT'));
    expect((await keyring.probe()).detail).toBe('there is no keychain on the session bus');
  });

  it('returns ABSENT if there is no default collection for new items, and NOT_FOUND for an existing one', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    await bus.startKeyring({ isLoggedIn: false });
    const keyring = make(envOf(bus), ROOMY);
    const expected = { probe: 'ABSENT', get: 'NOT_FOUND', set: 'ABSENT', delete: 'NOT_FOUND' };
    expect(await asked(keyring)).toEqual(expected);
  });

  it('returns TIMEOUT if the service never answers', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using _service = await startSilent(bus.env);
    expect(await asked(make(envOf(bus), BRIEF))).toEqual(everything('TIMEOUT'));
  });

  it('returns TIMEOUT if the service reports its state and then goes silent', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using _service = await startStandIn(bus.env, 'org.freedesktop.secrets', stateOnly);
    expect(outcomeOf(await make(envOf(bus), ROOMY).probe())).toBe('READY');
    const keyring = make(envOf(bus), BRIEF);
    expect(outcomeOf(await keyring.get(KEY_ID))).toBe('TIMEOUT');
    expect(outcomeOf(await keyring.set(KEY_ID, SECRET))).toBe('TIMEOUT');
  });

  it('starts the service if the bus can', async (context) => {
    requireKeychain(context);
    await using bus = await startBus({ activatable: true });
    // Started on demand, it has no collection yet, but it is present.
    const answer = await make(envOf(bus), ROOMY).probe();
    expect(answer).toEqual({ outcome: 'ABSENT', detail: 'the keychain has no default collection' });
  });

  it('returns NOT_FOUND for an item that was deleted', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const keyring = make(envOf(keychain), ROOMY);
    await keyring.set(KEY_ID, SECRET);
    await keychain.deleteItem(KEY_ID);
    expect(outcomeOf(await keyring.get(KEY_ID))).toBe('NOT_FOUND');
  });

  it.for([
    ['empty', '', 'MISMATCH'],
    ['a few words', 'not a key at all', 'MISMATCH'],
    ['a shorter key', Buffer.alloc(31, 7).toString('base64'), 'MISMATCH'],
    ['a longer key', Buffer.alloc(33, 7).toString('base64'), 'MISMATCH'],
    ['a key with something before it', ` ${SECRET.toString('base64')}`, 'MISMATCH'],
    ['hex', SECRET.toString('hex'), 'MISMATCH'],
    ['a key and a newline', `${SECRET.toString('base64')}\n`, 'READY'],
  ] as const)('handles an item that is %s', async ([, text, outcome], context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, text);
    const found = await make(envOf(keychain), ROOMY).get(KEY_ID);
    expect(found).toMatchObject(outcome === 'READY' ? { outcome, secret: SECRET } : { outcome });
  });

  it('replaces a corrupt item by a key', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    await keychain.storeItem(KEY_ID, 'not a key at all');
    const keyring = make(envOf(keychain), ROOMY);
    expect(outcomeOf(await keyring.set(KEY_ID, SECRET))).toBe('READY');
    expect(await keyring.get(KEY_ID)).toEqual({ outcome: 'READY', secret: SECRET });
    expect(await keychain.items()).toHaveLength(1);
  });
});

describe('keytar without its addon', () => {
  it('returns ABSENT except for an unlocked item, and the choice falls back to the service itself', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const directory = await mkdtemp(join(tmpdir(), 'coffer-broker-'));
    // The real broker, in a directory without node_modules.
    await copyFile(new URL('../../src/keyring/broker/broker.ts', import.meta.url), join(directory, 'broker.ts'));
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
    const broker = join(directory, 'broker.ts');
    const keyring = new KeytarKeyring({ env: envOf(keychain), patience: ROOMY, broker });
    await keychain.storeItem(KEY_ID, SECRET.toString('base64'));
    expect(await asked(keyring)).toEqual({ ...everything('ABSENT'), get: 'READY' });
    await keychain.lockCollection();
    const attended = new KeytarKeyring({ env: envOf(keychain), patience: ROOMY_ATTENDED, broker });
    expect(outcomeOf(await attended.get(KEY_ID))).toBe('ABSENT');
    await rm(directory, { recursive: true });
  });
});

async function lockedKeychain(context: TestContext): Promise<Bus> {
  requireKeychain(context);
  const keychain = await startKeychain();
  await keychain.storeItem(KEY_ID, SECRET.toString('base64'));
  await keychain.lockCollection();
  return keychain;
}

/** The stand-in has an unlocked collection and every item, but answers nothing else. */
function stateOnly({ member }: { member?: string }): ReturnType<Parameters<typeof startStandIn>[2]> {
  if (member === 'ReadAlias') return { signature: 'o', body: ['/c'] };
  if (member === 'SearchItems') return { signature: 'aoao', body: [['/c/1'], []] };
  if (member === 'Get') return { signature: 'v', body: [{ signature: 'b', value: false }] };
  return 'silence';
}

type Asked = Record<'probe' | 'get' | 'set' | 'delete', string>;

async function asked(keyring: Keyring): Promise<Asked> {
  return {
    probe: outcomeOf(await keyring.probe()),
    get: outcomeOf(await keyring.get(KEY_ID)),
    set: outcomeOf(await keyring.set(KEY_ID, SECRET)),
    delete: outcomeOf(await keyring.delete(KEY_ID)),
  };
}

function everything(outcome: string): Asked {
  return { probe: outcome, get: outcome, set: outcome, delete: outcome };
}

function outcomeOf(answer: Answer | LookUp): string {
  return answer.outcome;
}

function envOf(bus: Bus): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], ...bus.env };
}
