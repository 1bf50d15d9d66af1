import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openVault } from '../../src/index.ts';
import { temporaryFolder } from '../support/vault.ts';
import { makeFolder } from '../terminal/fake-terminal.ts';
import { type Command, end } from './bad-input-commands.ts';
import { digest, states } from './bad-input-states.ts';
import type { Subject } from './bad-input-vault.ts';

/*
 * Commands that give a vault a new key, run on a vault with a passphrase. They may succeed
 * there; then everything that opened before must open with the new key.
 */

const commands: readonly Command[] = [
  { name: 'key rotate', kind: 'own', args: () => ['key', 'rotate'] },
  { name: 'purge', kind: 'own', args: ({ fileId }) => ['purge', fileId, '--yes'] },
];

const both = (code: number): Record<string, number> => ({ 'key rotate': code, purge: code });

/**
 * Here everything else gets the new key and the old key is kept. The command prints this, but it
 * isn't a failure.
 */
const FOREIGN = 'with a session of another vault';

/** Exit codes other than 0. */
const codes: Readonly<Record<string, Record<string, number>>> = {
  'that is not there': both(1),
  'that is an empty folder': both(1),
  'with a vault.json of a newer version': both(13),
  'with nonsense as vault.json': both(13),
  'with a session of a newer version': both(14),
  [FOREIGN]: { 'key rotate': 12 },
  'with a link as vault.json': both(13),
  'with a directory as vault.json': both(13),
  'with a pipe as vault.json': both(13),
  'with a directory as a session': { purge: 1 },
  'with a link as the lock of the vault': both(1),
  'with a directory as the lock of the vault': both(1),
  'with a pipe as the lock of the vault': both(1),
  'with a link as locks': both(1),
  'with a file as sessions': both(1),
  'with a file as locks': both(1),
  'with a file as quarantine': both(1),
  'that is a file': both(1),
  'that is a pipe': both(1),
};

let folder: string;
let env: Record<string, string>;
let template: Omit<Subject, 'root' | 'vault'>;

beforeAll(async () => {
  const made = await makeFolder();
  folder = made.folder;
  const passphrase = join(folder, 'passphrase');
  writeFileSync(passphrase, 'a secret\n', { mode: 0o600 });
  env = { ...made.env, HOME: folder, COFFER_KEYCHAIN: 'passphrase', COFFER_PASSPHRASE_FILE: passphrase };
  await using vault = await openVault({ directory: join(folder, 'vault'), env });
  await using session = vault.begin({ directory: folder, model: 'demo/echo' });
  await session.append({ type: 'message', message: { role: 'user', content: 'hello' } });
  await session.save('a snapshot');
  template = { fileId: session.fileId ?? '', slot: '', about: folder, exported: '' };
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.runIf(process.platform !== 'win32')('on a vault with a passphrase', () => {
  it.each(states)('$name, a rotation and a purge succeed, or fail in one line and change nothing', async (state) => {
    for (const command of commands) {
      const root = temporaryFolder();
      const subject: Subject = { root, vault: join(root, 'vault'), ...template };
      execFileSync('cp', ['-a', join(folder, 'vault'), subject.vault]);
      state.apply(subject);
      const before = digest(root);
      const { code, out, err, bug } = await end(command, subject, env);
      const complaints = err.split('\n').filter((line) => line.startsWith('coffer: '));
      expect({ bug, code, err: `${err}${out}` }).toMatchObject({
        bug: undefined,
        code: codes[state.name]?.[command.name] ?? 0,
      });
      const isDone = code === 0 || state.name === FOREIGN;
      expect(complaints).toHaveLength(isDone ? 0 : 1);
      if (!isDone) expect(digest(root)).toEqual(before);
      else expect(await opening({ ...env, COFFER_DATA_DIR: subject.vault })).toBeGreaterThan(0);
    }
  });
});

/** Counts the sessions and snapshots that can be read to the end. */
async function opening(vaultEnv: Record<string, string>): Promise<number> {
  await using vault = await openVault({ env: vaultEnv });
  const rows = (await vault.list()).filter(({ unreadable }) => unreadable === undefined);
  for (const row of rows) await vault.read(row);
  return rows.length;
}
