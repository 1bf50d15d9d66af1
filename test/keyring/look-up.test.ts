import { describe, expect, it } from 'vitest';
import {
  type Backend,
  candidates,
  type KeychainChoice,
  type Keyring,
  type LookUp,
  lookUpKey,
  type Outcome,
} from '../../src/keyring/keyring.ts';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import { requireKeychain, startKeychain } from '../support/keychain.ts';

const KEY_ID = '00112233445566778899aabbccddeeff';
const SECRET = Buffer.alloc(32, 7);
const OTHERS: readonly Outcome[] = ['READY', 'NOT_FOUND', 'LOCKED', 'DECLINED', 'TIMEOUT', 'MISMATCH'];
const [first, second] = candidates(undefined, false) as [Backend, Backend | undefined];

describe('lookUpKey', () => {
  it.each(OTHERS)('returns the result of the first that is present, even %s', async (outcome) => {
    const asked: string[] = [];
    const found = await lookUpKey(KEY_ID, { choice: 'auto', env: {} }, makerOf({ [first]: outcome }, asked));
    expect(found.outcome).toBe(outcome);
    expect(asked).toEqual([`${first} get ${KEY_ID}`]);
  });

  it('tries the next if one is absent, and finally a provided key', async () => {
    const options = { choice: 'auto', env: { COFFER_KEY_FD: '9' } } as const;
    if (second) expect(await lookUpKey(KEY_ID, options, makerOf({ [second]: 'LOCKED' }))).toEqual(answer('LOCKED'));
    expect(await lookUpKey(KEY_ID, options, makerOf({ fd: 'READY' }))).toEqual(answer('READY'));
  });

  it('starts with the backend on record, and tries only `fd` if that is it', async () => {
    const asked: string[] = [];
    const made = makerOf({}, asked);
    if (second) await lookUpKey(KEY_ID, { choice: 'auto', recorded: second, env: {} }, made);
    expect(asked[0]).toBe(second && `${second} get ${KEY_ID}`);
    asked.length = 0;
    expect(await lookUpKey(KEY_ID, { choice: 'auto', recorded: 'fd', env: {} }, made)).toEqual(answer('ABSENT'));
    expect(asked).toEqual([`fd get ${KEY_ID}`]);
  });

  it('tries only the one that is forced', async () => {
    const asked: string[] = [];
    const found = await lookUpKey(KEY_ID, { choice: 'dpapi', recorded: 'keytar', env: {} }, makerOf({}, asked));
    expect(found).toEqual(answer('ABSENT'));
    expect(asked).toEqual([`dpapi get ${KEY_ID}`]);
  });

  it.each(['passphrase', 'memory'] as const)('leaves %s to the caller, forced or on record', async (backend) => {
    const asked: string[] = [];
    const made = makerOf({ [first]: 'READY' }, asked);
    expect(await lookUpKey(KEY_ID, { choice: backend, env: {} }, made)).toMatchObject({ outcome: 'ABSENT' });
    expect(await lookUpKey(KEY_ID, { choice: 'auto', recorded: backend, env: {} }, made)).toMatchObject({
      outcome: 'ABSENT',
    });
    expect(asked).toEqual([]);
  });

  it('refuses an unknown choice', async () => {
    const choice = 'gnome' as KeychainChoice;
    await expect(lookUpKey(KEY_ID, { choice, env: {} }, makerOf({}))).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('finds a key in a real keychain, and reports that it is locked', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const env = { PATH: process.env['PATH'], ...keychain.env };
    const options = { choice: 'auto', recorded: 'keytar', env } as const;
    expect(await lookUpKey(KEY_ID, options)).toMatchObject({ outcome: 'NOT_FOUND' });
    await keychain.storeItem(KEY_ID, SECRET.toString('base64'));
    expect(await lookUpKey(KEY_ID, options)).toEqual({ outcome: 'READY', secret: SECRET });
    await keychain.lockCollection();
    expect(await lookUpKey(KEY_ID, options)).toMatchObject({ outcome: 'LOCKED' });
  });
});

/**
 * Creates keyrings that answer a look-up with a given answer, default `ABSENT`; `asked` records the
 * look-ups.
 */
function makerOf(outcomes: Partial<Record<Backend, Outcome>>, asked: string[] = []): (backend: Backend) => Keyring {
  return (backend) => {
    const keyring = new MemoryKeyring() as Keyring;
    const take = (what: string): void => void asked.push(`${backend} ${what}`);
    return Object.assign(keyring, {
      backend,
      probe: async () => {
        take('probe');
        return { outcome: 'READY', detail: '' };
      },
      get: async (keyId: string) => {
        take(`get ${keyId}`);
        return answer(outcomes[backend] ?? 'ABSENT');
      },
    });
  };
}

function answer(outcome: Outcome): LookUp {
  return outcome === 'READY' ? { outcome, secret: SECRET } : { outcome, detail: `it is ${outcome}` };
}
