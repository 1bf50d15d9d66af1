import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conversation, makePlace, type Place, type Result } from '../support/coffer.ts';

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
  await say(place, ['--model', 'demo/echo'], 'one');
  const [{ fileId, id } = { fileId: '', id: '' }] = await place.listed();
  const path = place.sessionFile(fileId);
  const before = readFileSync(path);
  await say(place, ['-r', id], 'two');
  const there = readFileSync(path);
  writeFileSync(path, before);
  await say(place, ['resume', id, '--accept-older'], 'three\nfour');
  return { place, fileId, id, here: readFileSync(path), there };
}

async function say(place: Place, args: readonly string[], lines: string): Promise<void> {
  expect(await place.run(args, { input: `${lines}\n` })).toMatchObject({ code: 0 });
}

describe('a conflicting copy', () => {
  let at: Awaited<ReturnType<typeof diverged>>;

  beforeAll(async () => {
    at = await diverged();
  });

  afterAll(() => at.place[Symbol.asyncDispose]());

  it.each(forms.map((form, row) => ({ row, name: form('<id>'), form })))(
    'named $name is reported with what is in it, and left alone',
    async ({ form }) => {
      const { place, fileId, there } = at;
      const name = form(fileId);
      const path = join(place.data, 'sessions', name);
      writeFileSync(path, there, { mode: 0o600 });
      try {
        const line = `${name} is a conflicting copy of _autosave, with 2 messages missing from _autosave; coffer salvage `;
        const listed = await place.run(['sessions']);
        expect(listed).toMatchObject({ code: 0, stderr: expect.stringContaining(line) });
        expect(listed.stdout).toContain('saved sessions (1):');
        expect(await place.run(['-l'])).toMatchObject({ code: 0, stderr: expect.stringContaining(line) });
        const checked = await place.run(['doctor']);
        expect(checked).toMatchObject({ code: 1, stdout: expect.stringContaining(line) });
        expect(checked.stdout).not.toContain('not made by coffer');
        await say(place, ['--model', 'demo/echo'], 'a new one\n/save kept');
        await place.run(['delete', '1', 'kept', '--yes']);
        await place.run(['resume', fileId], { input: '/exit\n' });
        expect(readFileSync(path)).toEqual(there);
      } finally {
        rmSync(path);
      }
    },
  );

  it('comes back through salvage as a fork with its messages, and is left unchanged', async () => {
    const { place, fileId, id, there } = at;
    const name = `${fileId} (conflicted copy)`;
    const path = join(place.data, 'sessions', name);
    writeFileSync(path, there, { mode: 0o600 });
    for (const which of [name, path]) {
      const before = new Set((await place.listed()).map((row) => row.id));
      const brought = await place.run(['salvage', which]);
      expect(brought.stdout).toMatch(/^recovered 4 messages as session /);
      expect(brought).toMatchObject({ code: 0, stderr: `the copy stays as ${path}; remove it by hand\n` });
      const fork = (await place.listed()).find((row) => !before.has(row.id))?.id ?? '';
      const said = (which: string) => place.exported(which).then(conversation);
      expect(await said(fork)).toEqual(['user: one', 'assistant: echo: one', 'user: two', 'assistant: echo: two']);
      expect((await said(id)).filter((line) => line.startsWith('user'))).toEqual([
        'user: one',
        'user: three',
        'user: four',
      ]);
      expect((await place.run(['status', fork])).stdout).toMatch(
        new RegExp(`^parent +${id}: forked from a copy, ${RegExp.escape(name)}`, 'm'),
      );
      await place.run(['delete', fork, '--yes']);
    }
    expect(readFileSync(path)).toEqual(there);
    rmSync(path);
  });

  it('is reported as empty, damaged, from another vault, or of a missing session', async () => {
    const { place, fileId, here, there } = at;
    const told = async (bytes: Buffer, name = `${fileId} 2`): Promise<[string, Result]> => {
      const path = join(place.data, 'sessions', name);
      writeFileSync(path, bytes, { mode: 0o600 });
      const [listed, checked] = [await place.run(['sessions']), await place.run(['doctor'])];
      rmSync(path);
      return [listed.stderr, checked];
    };
    const [same, well] = await told(here);
    expect(same).toContain('without messages missing from _autosave; remove it by hand');
    expect(well).toMatchObject({ code: 0, stdout: expect.stringContaining('is a conflicting copy of _autosave') });
    const damaged = Buffer.from(there);
    damaged[200]! ^= 1;
    expect((await told(damaged))[0]).toMatch(/is a conflicting copy of _autosave that can't be opened: /);
    const other = Buffer.from(there);
    other[20]! ^= 1;
    const [foreign, unwell] = await told(other);
    expect(foreign).toMatch(/can't be opened: .*needs another key/);
    expect(unwell.code).toBe(1);
    renameSync(place.sessionFile(fileId), join(place.root, 'aside'));
    expect((await told(there))[0]).toMatch(
      /a conflicting copy of [0-9a-f]{32}, which is not in the vault; coffer salvage/,
    );
    renameSync(join(place.root, 'aside'), place.sessionFile(fileId));
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
