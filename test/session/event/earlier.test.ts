import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { aboutOf, renderExport } from '../../../src/cli/commands/export/export-text.ts';
import { openVault } from '../../../src/session/open-vault.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { temporaryFolder, texts, user } from '../../support/vault.ts';

const vectors = join(import.meta.dirname, '../..', 'vectors', 'earlier');
const names = readdirSync(vectors).map((name) => name.replace('.json', ''));

/**
 * The messages each version could read, except for "before" and "after", and the number of events
 * that no version can interpret.
 */
const between: Readonly<Record<string, { said: string[]; kept: number }>> = {
  foreign: { said: ['foreign 1', 'foreign 2', 'foreign 3', 'foreign 4'], kept: 0 },
  time: { said: ['late'], kept: 0 },
};

describe.each(names)('a session of an earlier version with %s', (name) => {
  const { fileId, file } = JSON.parse(readFileSync(join(vectors, `${name}.json`), 'utf8'));
  const { said, kept } = between[name] ?? { said: [], kept: 1 };
  const everything = ['before', ...said, 'after'];

  /** Makes a vault with the key of the vectors that holds this session as `bytes`. */
  async function vaultWith(bytes: Buffer): Promise<Sessions> {
    const folder = temporaryFolder();
    const directory = join(folder, 'vault');
    writeFileSync(join(folder, 'coffer-key'), 'a'.repeat(64), { mode: 0o600 });
    const env = { COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: folder };
    const sessions = await openVault({ directory, env });
    await sessions.begin({ directory: '/', model: 'demo/echo' }).append(user('makes the vault'));
    writeFileSync(join(directory, 'sessions', fileId), bytes, { mode: 0o600 });
    return sessions;
  }

  it('is listed, read, resumed, exported and imported, and preserves events it does not understand', async () => {
    await using sessions = await vaultWith(Buffer.from(file, 'base64'));
    const row = await sessions.find(fileId);
    expect(row.unreadable).toBeUndefined();
    const recorded = await sessions.read(row);
    expect(texts(recorded)).toEqual(everything);
    expect(recorded.events.filter(({ type }) => type === 'unknown')).toHaveLength(kept);
    const ids = recorded.events.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));

    const session = await sessions.resume(row);
    await session.append(user('more'));
    await session.close();
    const again = await sessions.read(row);
    expect(texts(again)).toEqual([...everything, 'more']);
    expect(again.events.slice(0, ids.length)).toEqual(recorded.events);
    expect(new Date(again.state.updated).toISOString()).toMatch(/^20/);

    const { id } = await sessions.upkeep.import(
      [...renderExport({ about: aboutOf(again.state, row), events: again.events }, 'jsonl')].join(''),
      'x',
    );
    const imported = await sessions.read(await sessions.find(id));
    expect(texts(imported)).toEqual([...everything, 'more']);
    expect(imported.events.filter(({ type }) => type === 'unknown')).toHaveLength(kept);
  });

  it('is salvaged completely if its header is damaged', async () => {
    const bytes = Buffer.from(file, 'base64');
    bytes[50]! ^= 1;
    await using sessions = await vaultWith(bytes);
    const { id, lost } = await sessions.upkeep.salvage(fileId);
    expect(lost).toEqual([]);
    const recorded = await sessions.read(await sessions.find(id));
    expect(texts(recorded)).toEqual(everything);
    expect(recorded.events.filter(({ type }) => type === 'unknown')).toHaveLength(kept);
  });
});
