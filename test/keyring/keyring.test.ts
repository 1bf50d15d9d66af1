import { execFileSync } from 'node:child_process';
import { constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isCofferError } from '../../src/errors.ts';
import { NativeKeyring } from '../../src/keyring/fallback.ts';
import { FdKeyring } from '../../src/keyring/fd.ts';
import {
  type Backend,
  candidates,
  chooseKeyring,
  KEYCHAIN_CHOICES,
  type KeychainChoice,
  type Keyring,
  type Outcome,
} from '../../src/keyring/keyring.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import { type KeyWait, Waits } from '../../src/keyring/waits.ts';
import { requireKeychain, requireUnix, startBus, startKeychain } from '../support/keychain.ts';
import { temporaryFolder } from '../support/vault.ts';

const OTHERS: readonly Outcome[] = ['READY', 'NOT_FOUND', 'LOCKED', 'DECLINED', 'TIMEOUT', 'MISMATCH'];
const FORCED = ['keytar', 'secret-service', 'security', 'dpapi', 'fd'] as const;

describe('chooseKeyring', () => {
  it.each(OTHERS)('returns the first that answers, even with %s', async (outcome) => {
    const asked: Backend[] = [];
    const chosen = await chooseKeyring({ choice: 'auto', env: {} }, makerOf({ keytar: outcome }, asked));
    expect(backendOf(chosen)).toBe('keytar');
    expect(asked).toEqual(['keytar']);
  });

  it('tries the next if one is absent', async () => {
    const [, native] = candidates(undefined, false);
    const made = makerOf({ keytar: 'ABSENT', 'secret-service': 'LOCKED', security: 'LOCKED', dpapi: 'LOCKED' });
    expect(backendOf(await chooseKeyring({ choice: 'auto', env: {} }, made))).toBe(native);
  });

  it('uses the provided key if no keychain answers', async () => {
    const env = { COFFER_KEY_FD: '9' };
    const chosen = await chooseKeyring({ choice: 'auto', env }, makerOf({ fd: 'READY' }));
    expect(backendOf(chosen)).toBe('fd');
  });

  it('reports why none answers', async () => {
    const chosen = await chooseKeyring({ choice: 'auto', env: {} }, makerOf({}));
    expect(chosen).toEqual({ none: { outcome: 'ABSENT', detail: expect.stringMatching(/ is ABSENT$/) } });
  });

  it.each(FORCED)('returns %s and probes no other if it is forced', async (choice) => {
    const asked: Backend[] = [];
    const recorded = 'passphrase';
    expect(backendOf(await chooseKeyring({ choice, recorded, env: {} }, makerOf({}, asked)))).toBe(choice);
    expect(asked).toEqual([]);
  });

  it.each(['passphrase', 'memory'] as const)('leaves %s to the caller, forced or on record', async (backend) => {
    const asked: Backend[] = [];
    const made = makerOf({ keytar: 'READY' }, asked);
    const forced = await chooseKeyring({ choice: backend, env: {} }, made);
    expect(forced).toEqual({
      none: { outcome: 'ABSENT', detail: expect.stringMatching(/^COFFER_KEYCHAIN asks for /) },
    });
    const kept = await chooseKeyring({ choice: 'auto', recorded: backend, env: {} }, made);
    expect(kept).toEqual({ none: { outcome: 'ABSENT', detail: expect.stringMatching(/^this vault has /) } });
    expect(asked).toEqual([]);
  });

  it('refuses an unknown choice, and lists the valid ones', async () => {
    const choice = 'gnome' as KeychainChoice;
    const error = await chooseKeyring({ choice, env: {} }).catch((thrown: unknown) => thrown);
    expect(isCofferError(error, 'USAGE')).toBe(true);
    for (const allowed of KEYCHAIN_CHOICES) expect((error as Error).message).toContain(allowed);
  });

  it('refuses an invalid descriptor', async () => {
    for (const value of ['three', '1', '-4', '3.5', '99999999999']) {
      const chosen = chooseKeyring({ choice: 'auto', env: { COFFER_KEY_FD: value } }, makerOf({}));
      await expect(chosen).rejects.toMatchObject({ code: 'USAGE' });
    }
  });

  it('creates the keyring of each backend', async () => {
    const kinds = {
      keytar: KeytarKeyring,
      'secret-service': NativeKeyring,
      security: NativeKeyring,
      dpapi: NativeKeyring,
    };
    for (const [choice, kind] of Object.entries({ ...kinds, fd: FdKeyring })) {
      const chosen = await chooseKeyring({ choice: choice as KeychainChoice, env: {} });
      expect('keyring' in chosen && chosen.keyring).toBeInstanceOf(kind);
      expect(backendOf(chosen)).toBe(choice);
    }
  });

  it('returns ABSENT for a keychain of another system', async () => {
    for (const choice of ['secret-service', 'security', 'dpapi'] as const) {
      if (candidates(undefined, false).includes(choice)) continue;
      const chosen = await chooseKeyring({ choice, env: {} });
      const keyring = 'keyring' in chosen ? chosen.keyring : undefined;
      const id = 'a'.repeat(32);
      const answers = [
        await keyring?.probe(),
        await keyring?.get(id),
        await keyring?.set(id, Buffer.alloc(32)),
        await keyring?.delete(id),
      ];
      expect(answers.map((answer) => answer?.outcome)).toEqual(['ABSENT', 'ABSENT', 'ABSENT', 'ABSENT']);
      expect(await keyring?.provider()).toBe(choice);
    }
  });

  it('chooses keytar on a real keychain, even a locked one', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const env = { PATH: process.env['PATH'], ...keychain.env };
    expect(backendOf(await chooseKeyring({ choice: 'auto', env }))).toBe('keytar');
    await keychain.lockCollection();
    const chosen = await chooseKeyring({ choice: 'auto', env });
    expect(backendOf(chosen)).toBe('keytar');
    expect('keyring' in chosen && (await chosen.keyring.probe()).outcome).toBe('LOCKED');
  });

  it('measures how long the chosen keyring takes', async (context) => {
    requireUnix(context);
    // The key comes from a pipe that stays silent.
    const env = { COFFER_KEY_FD: String(openPipe()) };
    const waits: KeyWait[] = [];
    const chosen = await chooseKeyring({ choice: 'fd', env, waits: new Waits((wait) => waits.push(wait)) });
    expect('keyring' in chosen && (await chosen.keyring.probe()).outcome).toBe('TIMEOUT');
    expect(waits).toEqual(['keychain']);
  });

  it('finds none on a bus without a keychain', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const chosen = await chooseKeyring({ choice: 'auto', env: { PATH: process.env['PATH'], ...bus.env } });
    expect(chosen).toEqual({ none: { outcome: 'ABSENT', detail: 'there is no keychain on the session bus' } });
  });
});

describe('candidates', () => {
  it.each([
    ['linux', undefined, ['keytar', 'secret-service', 'fd']],
    ['darwin', undefined, ['keytar', 'security', 'fd']],
    ['win32', undefined, ['keytar', 'dpapi', 'fd']],
    ['freebsd', undefined, ['keytar', 'fd']],
    ['linux', 'keytar', ['keytar', 'secret-service', 'fd']],
    ['linux', 'secret-service', ['secret-service', 'keytar', 'fd']],
    ['darwin', 'security', ['security', 'keytar', 'fd']],
    ['linux', 'security', ['keytar', 'secret-service', 'fd']],
    ['win32', 'dpapi', ['dpapi', 'fd']],
    ['win32', 'keytar', ['keytar', 'fd']],
    ['linux', 'fd', ['fd']],
  ] as const)('on %s, with %s on record', (platform, recorded, expected) => {
    expect(candidates(recorded, true, platform)).toEqual(expected);
    const without = recorded === 'fd' ? ['fd'] : expected.filter((backend) => backend !== 'fd');
    expect(candidates(recorded, false, platform)).toEqual(without);
  });
});

/**
 * Creates keyrings that answer a probe with a given answer, default `ABSENT`; `asked` records which
 * were probed.
 */
function makerOf(outcomes: Partial<Record<Backend, Outcome>>, asked: Backend[] = []): (backend: Backend) => Keyring {
  return (backend) => {
    const keyring = new MemoryKeyring() as Keyring;
    const outcome = outcomes[backend] ?? 'ABSENT';
    return Object.assign(keyring, {
      backend,
      probe: async () => {
        asked.push(backend);
        return { outcome, detail: `${backend} is ${outcome}` };
      },
    });
  };
}

/** Opens a pipe that is never written to. */
function openPipe(): number {
  const path = join(temporaryFolder(), 'pipe');
  execFileSync('mkfifo', [path]);
  return openSync(path, constants.O_RDWR);
}

function backendOf(chosen: Awaited<ReturnType<typeof chooseKeyring>>): Backend | undefined {
  return 'keyring' in chosen ? chosen.keyring.backend : undefined;
}
