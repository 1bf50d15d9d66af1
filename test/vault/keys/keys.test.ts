import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Answer, Keyring, LookUp, Outcome } from '../../../src/keyring/keyring.ts';
import { MemoryKeyring } from '../../../src/keyring/memory.ts';
import { openVault, sessionsOf } from '../../../src/session/open-vault.ts';
import { begin, crashed, type Home, home, temporaryFolder, user } from '../../support/vault.ts';

/** A keyring that answers everything with one outcome. */
function answering(outcome: Exclude<Outcome, 'READY'>): Keyring {
  const answer: Answer & { outcome: typeof outcome } = { outcome, detail: `it said ${outcome}` };
  return {
    backend: 'memory',
    probe: async () => answer,
    provider: async () => 'test',
    get: async () => answer,
    set: async () => answer,
    delete: async () => answer,
  };
}

async function withSession(): Promise<Home> {
  const at = home();
  const sessions = await at.open();
  await begin(sessions).append(user('one'));
  await sessions.close();
  return at;
}

function vaultJson(at: Home): Record<string, unknown> {
  return JSON.parse(readFileSync(join(at.directory, 'vault.json'), 'utf8'));
}

const TOO_LATE = { outcome: 'TIMEOUT', detail: 'it took too long' } as const;
const outcomes = ['NOT_FOUND', 'LOCKED', 'DECLINED', 'ABSENT', 'TIMEOUT', 'MISMATCH'] as const;

describe('unlockVault', () => {
  it('creates one key on first use, and writes no secret', async () => {
    const at = await withSession();
    const { key } = vaultJson(at);
    expect(vaultJson(at)).toEqual({
      format: 1,
      key: expect.stringMatching(/^[0-9a-f]{32}$/),
      backend: 'memory',
      provider: expect.any(String),
      slots: [],
      counter: 1,
      mac: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const secret = await at.keyring.get(String(key));
    expect(secret.outcome).toBe('READY');
    const { secret: bytes } = secret as LookUp & { outcome: 'READY' };
    const text = readFileSync(join(at.directory, 'vault.json'), 'latin1');
    for (const form of ['hex', 'base64', 'latin1'] as const) expect(text).not.toContain(bytes.toString(form));
    expect(statSync(join(at.directory, 'vault.json')).mode & 0o777).toBe(0o600);
  });

  it.each(outcomes)('reports %s, changes nothing and creates no second key', async (outcome) => {
    const at = await withSession();
    const file = at.path(at.files()[0]!);
    const before = [readFileSync(file), readFileSync(join(at.directory, 'vault.json'))];
    await expect(at.open({ keyring: answering(outcome) })).rejects.toMatchObject({
      code: `KEY_${outcome}`,
      message: expect.stringContaining(`it said ${outcome}`),
    });
    expect([readFileSync(file), readFileSync(join(at.directory, 'vault.json'))]).toEqual(before);
  });

  it.each(outcomes)('writes no vault if the first probe returns %s', async (outcome) => {
    const at = home();
    await expect(at.open({ keyring: answering(outcome) })).rejects.toMatchObject({ code: `KEY_${outcome}` });
    expect(existsSync(at.directory)).toBe(false);
  });

  it('rejects a keyring that lost what was stored', async () => {
    const at = home();
    const memory = new MemoryKeyring();
    const forgetful: Keyring = {
      backend: 'memory',
      probe: () => memory.probe(),
      provider: () => memory.provider(),
      get: async () => ({ outcome: 'NOT_FOUND', detail: 'no such item' }),
      set: async () => ({ outcome: 'READY', detail: 'set' }),
      delete: (keyId) => memory.delete(keyId),
    };
    await expect(at.open({ keyring: forgetful })).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect(existsSync(join(at.directory, 'vault.json'))).toBe(false);
  });

  it('retries a first use that timed out with the same key', async () => {
    const at = home();
    const kept: string[] = [];
    const slow: Keyring = {
      backend: 'memory',
      probe: () => at.keyring.probe(),
      provider: () => at.keyring.provider(),
      get: (keyId) => at.keyring.get(keyId),
      delete: (keyId) => at.keyring.delete(keyId),
      set: async (keyId, secret) => {
        kept.push(keyId);
        const answer = await at.keyring.set(keyId, secret);
        return kept.length === 1 ? { outcome: 'TIMEOUT', detail: 'it took too long' } : answer;
      },
    };
    const sessions = sessionsOf({ directory: at.directory, keyring: slow, env: {} });
    await expect(sessions.keys.unlock()).rejects.toMatchObject({ code: 'KEY_TIMEOUT' });
    await sessions.keys.unlock();
    expect(kept).toEqual([vaultJson(at)['key'], vaultJson(at)['key']]);
  });

  it.each(['set', 'get', 'delete'] as const)(
    'leaves no item behind if another process is first while its %s times out',
    async (late) => {
      const at = home();
      const other = home(at.directory, at.keyring);
      const kept: string[] = [];
      let slow = true;
      /**
       * Does what is asked, but reports it too late; meanwhile the other process creates the vault.
       */
      const answer = async <T extends { outcome: Outcome }>(
        call: typeof late,
        asked: Promise<T>,
      ): Promise<T | typeof TOO_LATE> => {
        const given = await asked;
        if (call === late || call === 'set') await (await other.open()).close();
        if (call !== late || !slow) return given;
        slow = false;
        return TOO_LATE;
      };
      const keyring: Keyring = {
        backend: 'memory',
        probe: () => at.keyring.probe(),
        provider: () => at.keyring.provider(),
        get: (keyId) => answer('get', at.keyring.get(keyId)),
        delete: (keyId) => answer('delete', slow ? Promise.resolve(TOO_LATE) : at.keyring.delete(keyId)),
        set: (keyId, secret) => {
          kept.push(keyId);
          return answer('set', at.keyring.set(keyId, secret));
        },
      };
      const sessions = sessionsOf({ directory: at.directory, keyring, env: {} });
      await expect(sessions.keys.unlock()).rejects.toMatchObject({ code: 'KEY_TIMEOUT' });
      await sessions.keys.unlock();
      expect(sessions.keys.status).toMatchObject({ keyId: vaultJson(at)['key'], how: 'opened' });
      expect(kept).toEqual([expect.not.stringMatching(String(vaultJson(at)['key']))]);
      expect(await at.keyring.get(kept[0]!)).toMatchObject({ outcome: 'NOT_FOUND' });
    },
  );

  it('reports a key with another key id as a mismatch', async () => {
    const at = await withSession();
    await at.keyring.set(String(vaultJson(at)['key']), Buffer.alloc(32, 7));
    await expect(at.open()).rejects.toMatchObject({ code: 'KEY_MISMATCH' });
  });

  it('reports a missing vault.json, and reads the sessions with the known key', async () => {
    const at = await withSession();
    rmSync(join(at.directory, 'vault.json'));
    await using sessions = await at.open();
    expect(sessions.keys.record.distrust).toMatchObject({
      code: 'UNAUTHENTIC',
      message: expect.stringContaining('vault.json is not as coffer wrote it: it is missing'),
    });
    expect(await sessions.list()).toMatchObject([{ messages: 1 }]);
    expect(existsSync(join(at.directory, 'vault.json'))).toBe(false);
  });

  it('creates no second key if vault.json and the key are lost and files exist', async () => {
    const at = await withSession();
    rmSync(join(at.directory, 'vault.json'));
    await expect(at.open({ keyring: new MemoryKeyring() })).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
      message: expect.stringContaining('vault.json is missing'),
    });
    expect(existsSync(join(at.directory, 'vault.json'))).toBe(false);
  });

  it('creates no second key if the headers of all files are damaged', async () => {
    const at = await withSession();
    rmSync(join(at.directory, 'vault.json'));
    writeFileSync(at.path(at.files()[0]!), 'damaged');
    writeFileSync(join(at.directory, 'seen'), 'damaged too');
    await expect(crashed(at).open()).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    await using sessions = await at.open(); // with the key that is known for the directory
    expect(sessions.keys.record.distrust).toMatchObject({ code: 'UNAUTHENTIC' });
    expect(existsSync(join(at.directory, 'vault.json'))).toBe(false);
  });

  it('ends with one key if many processes are first at the same time', async () => {
    const at = home();
    const made = new Set<string>();
    const kept = new Set<string>();
    const counting: Keyring = {
      backend: 'memory',
      probe: () => at.keyring.probe(),
      provider: () => at.keyring.provider(),
      get: (keyId) => at.keyring.get(keyId),
      set: (keyId, secret) => {
        made.add(keyId);
        kept.add(keyId);
        return at.keyring.set(keyId, secret);
      },
      delete: (keyId) => {
        kept.delete(keyId);
        return at.keyring.delete(keyId);
      },
    };
    const all = await Promise.all(Array.from({ length: 8 }, () => at.open({ keyring: counting })));
    const ids = new Set(all.map((sessions) => (sessions.keys.status as { keyId: string }).keyId));
    expect([...ids]).toEqual([vaultJson(at)['key']]);
    expect(made.size).toBeGreaterThan(1);
    expect([...kept]).toEqual([...ids]);
  });

  it.each([
    ['invalid JSON', '{', 'UNAUTHENTIC', 'it is not JSON'],
    ['a field of a wrong kind', '{"format":1,"key":3}', 'UNAUTHENTIC', 'its key is not what'],
    ['a newer format', '{"format":2,"key":3}', 'UNAUTHENTIC', 'a format that this version of coffer does not know'],
    ['nothing', '', 'UNAUTHENTIC', 'it is not JSON'],
    ['far too much', ' '.repeat(70_000), 'UNAUTHENTIC', 'it has 70000 bytes'],
  ])('reports a vault.json of %s, and leaves it alone', async (_, text, code, message) => {
    const at = await withSession();
    writeFileSync(join(at.directory, 'vault.json'), text);
    const named = { code, message: expect.stringContaining(message) };
    await using sessions = await at.open();
    expect(sessions.keys.record.distrust).toMatchObject(named);
    expect(await sessions.list()).toMatchObject([{ messages: 1 }]);
    expect(readFileSync(join(at.directory, 'vault.json'), 'utf8')).toBe(text);
  });
});

describe('a keychain that refuses while a chat runs', () => {
  it.each(['TIMEOUT', 'DECLINED'] as const)(
    'is not asked again at every step after %s, but on an explicit unlock',
    async (outcome) => {
      const at = await withSession();
      const refusing = answering(outcome);
      let asked = 0;
      const keyring: Keyring = {
        ...refusing,
        get: (keyId) => {
          asked++;
          return refusing.get(keyId);
        },
      };
      await using sessions = sessionsOf({ directory: at.directory, keyring, env: {} });
      const session = begin(sessions);
      for (let step = 0; step < 5; step++) await session.record(user('x'));
      expect(asked).toBe(1);
      expect(session.unsaved?.error.code).toBe(`KEY_${outcome}`);
      await expect(session.save()).rejects.toMatchObject({ code: `KEY_${outcome}` });
      expect(asked).toBe(2);
      keyring.get = (keyId) => at.keyring.get(keyId);
      await session.append(user('y'));
      expect(session.unsaved).toBeUndefined();
    },
  );
});

describe('a passphrase', () => {
  async function protectedVault(): Promise<{ at: Home; env: NodeJS.ProcessEnv; file: string }> {
    const at = home();
    const file = join(temporaryFolder(), 'passphrase');
    writeFileSync(file, 'correct horse\n');
    const env = { COFFER_PASSPHRASE_FILE: file };
    const sessions = await openVault({ directory: at.directory, keychain: 'passphrase', env });
    await begin(sessions).append(user('one'));
    await sessions.close();
    return { at, env, file };
  }

  it('opens the vault again, from a file and from a prompt', async () => {
    const { at, env } = await protectedVault();
    const fromFile = await openVault({ directory: at.directory, keychain: 'auto', env });
    expect(await fromFile.list()).toHaveLength(1);
    const asked = await openVault({ directory: at.directory, env: {}, askPassphrase: async () => 'correct horse' });
    expect(await asked.list()).toHaveLength(1);
    expect(vaultJson(at)).toMatchObject({
      backend: 'passphrase',
      slots: [{ kind: 'passphrase', algorithm: 'argon2id', memory: 65536, passes: 3 }],
    });
  });

  it('refuses a wrong one after three tries', async () => {
    const { at } = await protectedVault();
    const attempts: number[] = [];
    const askPassphrase = async (ask: { attempt: number }): Promise<string> => {
      attempts.push(ask.attempt);
      return 'wrong';
    };
    await expect(openVault({ directory: at.directory, env: {}, askPassphrase })).rejects.toMatchObject({
      code: 'PASSPHRASE_WRONG',
      message: 'wrong passphrase',
    });
    expect(attempts).toEqual([1, 2, 3]);
  });

  it('is not asked for without a prompt', async () => {
    const { at } = await protectedVault();
    await expect(openVault({ directory: at.directory, env: {} })).rejects.toMatchObject({ code: 'KEY_ABSENT' });
  });

  it.each([
    ['memory', 4 * 1024 * 1024 * 1024],
    ['memory', 8],
    ['passes', 4_000_000],
    ['passes', 0],
    ['parallelism', 1000],
  ])('bounds the parameter %s (%i) before it is used', async (field, value) => {
    const { at, env } = await protectedVault();
    const json = vaultJson(at) as { slots: Record<string, unknown>[] };
    json.slots[0]![field] = value;
    writeFileSync(join(at.directory, 'vault.json'), JSON.stringify(json));
    await expect(openVault({ directory: at.directory, env })).rejects.toMatchObject({ code: 'KEY_MISMATCH' });
  });

  it('does not open with parameters that were changed within their bounds', async () => {
    const { at, env } = await protectedVault();
    const json = vaultJson(at) as { slots: Record<string, unknown>[] };
    json.slots[0]!['passes'] = 4;
    writeFileSync(join(at.directory, 'vault.json'), JSON.stringify(json));
    await expect(openVault({ directory: at.directory, env })).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
  });
});

describe('memory', () => {
  it('keeps a chat off the disk', async () => {
    const directory = join(temporaryFolder(), 'data');
    await expect(openVault({ directory, keychain: 'memory', env: {} })).rejects.toMatchObject({ code: 'KEY_ABSENT' });
    expect(existsSync(directory)).toBe(false);
  });
});
