import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openVault, type Row, type Session, type Sessions } from '../../src/index.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { reply, user } from '../support/vault.ts';

/** Names that sync programs give to the copy of a file that was changed on both sides. */
const forms: readonly ((fileId: string) => string)[] = [
  (fileId) => `${fileId}.sync-conflict-20261130-101500-ABCDEFG`,
  (fileId) => `${fileId} (conflicted copy)`,
  (fileId) => `${fileId} (Anna's conflicted copy 2026-11-30)`,
  (fileId) => `${fileId} 2`,
  (fileId) => `${fileId}(1)`,
  (fileId) => `${fileId}_conf(1)`,
  (fileId) => `${fileId}-laptop`,
  (fileId) => `Copy of ${fileId}`,
  (fileId) => `${fileId}~`,
  (fileId) => `.${fileId}.swp`,
  (fileId) => fileId.toUpperCase().replace(/\d/g, 'A'),
  () => 'something else altogether',
];

/** Makes a vault with a session that was continued on two machines. */
async function diverged(): Promise<{ place: Place; fileId: string; id: string; here: Buffer; there: Buffer }> {
  const place = await makePlace();
  await using vault = await opened(place);
  await say(vault.begin({ directory: place.project, model: 'demo/echo' }), 'one');
  const [row] = (await vault.list()) as [Row];
  const path = place.sessionFile(row.fileId);
  const before = readFileSync(path);
  await say(await vault.resume(row), 'two');
  const there = readFileSync(path);
  writeFileSync(path, before);
  await say(await vault.resume(row, { acceptOlder: true }), 'three', 'four');
  return { place, fileId: row.fileId, id: row.id, here: readFileSync(path), there };
}

function opened(place: Place): Promise<Sessions> {
  return openVault({ directory: place.data, env: place.libraryEnv });
}

/** Holds the conversation that a chat with `demo/echo` would, and closes the session. */
async function say(session: Session, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    await session.append(user(line));
    await session.append(reply(`echo: ${line}`));
  }
  await session.close();
}

describe('a conflicting copy', () => {
  let at: Awaited<ReturnType<typeof diverged>>;

  beforeAll(async () => {
    at = await diverged();
  });

  afterAll(() => at.place[Symbol.asyncDispose]());

  it('is reported with what is in it, and left alone, under each of those names', async () => {
    const { place, fileId, there } = at;
    const names = forms.map((form) => form(fileId));
    const paths = names.map((name) => join(place.data, 'sessions', name));
    for (const path of paths) writeFileSync(path, there, { mode: 0o600 });
    const lines = names.map((name) =>
      expect.stringContaining(
        `${name} is a conflicting copy of _autosave, with 2 messages missing from _autosave; coffer salvage `,
      ),
    );
    const [listed, again, checked] = await Promise.all([
      place.run(['sessions']),
      place.run(['-l']),
      place.run(['doctor']),
    ]);
    expect(listed).toMatchObject({ code: 0, stdout: expect.stringContaining('saved sessions (1):') });
    expect(again.code).toBe(0);
    expect(checked.code).toBe(1);
    for (const text of [listed.stderr, again.stderr, checked.stdout]) {
      expect(reports(text)).toHaveLength(names.length);
      expect(reports(text)).toEqual(expect.arrayContaining(lines));
    }
    expect(checked.stdout).not.toContain('not made by coffer');
    const input = 'a new one\n/save kept\n';
    expect(await place.run(['--model', 'demo/echo'], { input })).toMatchObject({ code: 0 });
    await place.run(['delete', '1', 'kept', '--yes']);
    await place.run(['resume', fileId], { input: '/exit\n' });
    for (const path of paths) {
      expect(readFileSync(path)).toEqual(there);
      rmSync(path);
    }
  });

  it('comes back through salvage as a fork with its messages, and is left unchanged', async () => {
    const { place, fileId, id, there } = at;
    const name = `${fileId} (conflicted copy)`;
    const path = join(place.data, 'sessions', name);
    writeFileSync(path, there, { mode: 0o600 });
    await using vault = await opened(place);
    const said = async (row: Row) =>
      (await vault.read(row)).state.messages.map(({ role, content }) => `${role}: ${content}`);
    for (const which of [name, path]) {
      const before = new Set((await vault.list()).map((row) => row.id));
      const brought = await place.run(['salvage', which]);
      expect(brought.stdout).toMatch(/^recovered 4 messages as session /);
      expect(brought).toMatchObject({ code: 0, stderr: `the copy stays as ${path}; remove it by hand\n` });
      const [fork] = (await vault.list()).filter((row) => !before.has(row.id)) as [Row];
      expect(await said(fork)).toEqual(['user: one', 'assistant: echo: one', 'user: two', 'assistant: echo: two']);
      expect((await said(await vault.find(id))).filter((line) => line.startsWith('user'))).toEqual([
        'user: one',
        'user: three',
        'user: four',
      ]);
      expect((await place.run(['status', fork.id])).stdout).toMatch(
        new RegExp(`^parent +${id}: forked from a copy, ${RegExp.escape(name)}`, 'm'),
      );
      await vault.delete(fork);
    }
    expect(readFileSync(path)).toEqual(there);
    rmSync(path);
  });

  it('is reported as empty, damaged, from another vault, or of a missing session', async () => {
    const { place, fileId, here, there } = at;
    const damaged = Buffer.from(there);
    damaged[200]! ^= 1;
    const foreign = Buffer.from(there);
    foreign[20]! ^= 1;
    const path = join(place.data, 'sessions', `${fileId} 2`);
    const told = async (bytes: Buffer) => {
      writeFileSync(path, bytes, { mode: 0o600 });
      return (await place.run(['sessions'])).stderr;
    };
    expect(await told(here)).toContain('without messages missing from _autosave; remove it by hand');
    const well = await place.run(['doctor']);
    expect(well).toMatchObject({ code: 0, stdout: expect.stringContaining('is a conflicting copy of _autosave') });
    expect(await told(damaged)).toMatch(/is a conflicting copy of _autosave that can't be opened: /);
    expect(await told(foreign)).toMatch(/can't be opened: .*needs another key/);
    expect((await place.run(['doctor'])).code).toBe(1);
    renameSync(place.sessionFile(fileId), join(place.root, 'aside'));
    expect(await told(there)).toMatch(/a conflicting copy of [0-9a-f]{32}, which is not in the vault; coffer salvage/);
    renameSync(join(place.root, 'aside'), place.sessionFile(fileId));
    rmSync(path);
  });

  it('is named when its session is deleted', async () => {
    const { place, fileId, there } = await diverged();
    await using _place = place;
    const path = join(place.data, 'sessions', `${fileId} 2`);
    writeFileSync(path, there, { mode: 0o600 });
    const { stderr } = await place.run(['delete', '1', '--yes']);
    expect(stderr).toContain(`${fileId} 2 has text of the same conversation and is kept; remove ${path} by hand`);
    expect(readFileSync(path)).toEqual(there);
  });
});

describe("a file that isn't a conflicting copy", () => {
  it('is reported as before, and never followed or waited for', async () => {
    const { place, fileId, there } = await diverged();
    await using _place = place;
    const sessions = join(place.data, 'sessions');
    writeFileSync(join(sessions, 'notes.txt'), 'COFFER is not in here\n');
    writeFileSync(join(sessions, 'short'), there.subarray(0, 30));
    writeFileSync(join(place.root, 'elsewhere'), there);
    symlinkSync(join(place.root, 'elsewhere'), join(sessions, `${fileId} 2`));
    mkdirSync(join(sessions, `${fileId} 3`));
    const { stdout } = await place.run(['doctor']);
    expect(stdout).not.toContain('conflicting copy');
    for (const name of ['notes.txt', 'short', `${fileId} 2`, `${fileId} 3`]) {
      expect(stdout).toMatch(new RegExp(`not made by coffer, and left alone: .*${RegExp.escape(name)}`));
    }
  });
});

/** Returns the lines of `text` that report a conflicting copy. */
function reports(text: string): string[] {
  return text.split('\n').filter((line) => line.includes('conflicting copy of'));
}
