import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { makePlace, type Place, type Result } from '../support/coffer.ts';

describe('/save', () => {
  it('with one name twice in a minute takes two snapshots', async () => {
    await using place = await makePlace();
    const { stdout, code } = await save(place, 'fixing-auth-bug', 'fixing-auth-bug');
    expect(code).toBe(0);
    const lines = [
      ...stdout.matchAll(/^session saved: (\d{4}-\d\d-\d\d_\d\d-\d\d_fixing-auth-bug\S*) \(2 messages\)$/gm),
    ];
    const ids = lines.map(([, id]) => id);
    expect(new Set(ids).size).toBe(2);
    const snapshots = (await place.listed()).filter(({ kind }) => kind === 'snapshot');
    expect(snapshots.map(({ id }) => id).sort()).toEqual(ids.sort());
  });

  it('without a name takes one named by its time, and names it again as that minute', async () => {
    await using place = await makePlace();
    const { stdout } = await save(place, '', '   ');
    const ids = [...stdout.matchAll(/^session saved: (\d{4}-\d\d-\d\d_\d\d-\d\d(?:-2)?) \(2 messages\)$/gm)].map(
      ([, id]) => id,
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('keeps a snapshot as it was while the conversation goes on', async () => {
    await using place = await makePlace();
    const input = 'one\n/save before\ntwo\n';
    expect((await place.run(['--model', 'demo/echo'], { input })).code).toBe(0);
    const { events } = await place.exported('before');
    expect(events.filter(({ type }) => type === 'message')).toHaveLength(2);
    const resumed = await place.run([], { input: '/resume before\nthree\n' });
    expect(resumed.stdout).toMatch(/resumed session \S+_before \(2 messages, demo\/echo\)/);
    expect((await place.exported('before')).events.filter(({ type }) => type === 'message')).toHaveLength(2);
    expect(await place.sessionFiles()).toHaveLength(3);
  });
});

describe('the name of a snapshot', () => {
  it.each([
    ['of one character', 'x'],
    ['of 100 characters', 'n'.repeat(100)],
    ['of 100 emoji', '🦊'.repeat(100)],
    ['with emoji', 'fix 🦊👩‍👩‍👧‍👦 done'],
    ['with umlauts', 'Größe ändern, süß'],
    ['that climbs', '../x'],
    ['that climbs far', '../../../../tmp/coffer-was-here'],
    ['with a slash', 'a/b'],
    ['that looks like an option', '--force'],
    ['that is the alias of another', '_autosave'],
    ['with spaces around it', '   trimmed   '],
  ])('%s comes back as typed', async (_, name) => {
    await using place = await makePlace();
    const { stdout, code } = await save(place, name);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^session saved: /m);
    const snapshot = (await place.listed()).find(({ kind }) => kind === 'snapshot');
    expect(snapshot?.name).toBe(name.trim());
    expect(snapshot?.id).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\d_\\d\\d-\\d\\d_${RegExp.escape(name.trim())}$`, 'u'));
    expect((await place.exported(snapshot?.id ?? '')).events.length).toBeGreaterThan(0);
    await expectOnlySealedNames(place);
  });

  it.each([
    ['of 101 characters', 'n'.repeat(101)],
    ['with a bell', 'a\u0007b'],
    ['with an escape sequence', 'a\u001b[31mb'],
    ['with a tab inside', 'a\tb'],
    ['with a C1 control character', 'a\u009bb'],
    ['that reverses what is shown', 'a\u202eb'],
  ])('%s is refused in one line, and nothing is written', async (_, name) => {
    await using place = await makePlace();
    const { stdout, stderr } = await save(place, name);
    expect(stdout).not.toContain('session saved');
    expect(stderr.split('\n').filter((line) => line.includes('name'))).toHaveLength(1);
    expect(stderr.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    expect((await place.listed()).map(({ kind }) => kind)).toEqual(['session']);
    expect(stdout).toContain('echo: afterwards');
  });
});

/** Says something, then takes a snapshot under each name, then says one thing more. */
function save(place: Place, ...names: string[]): Promise<Result> {
  const commands = names.map((name) => `/save ${name}\n`).join('');
  return place.run(['--model', 'demo/echo'], { input: `hello\n${commands}afterwards\n` });
}

/** In the data directory and around it stands nothing but what coffer puts there. */
async function expectOnlySealedNames(place: Place): Promise<void> {
  const names = await readdir(place.data, { recursive: true });
  const known =
    /^(?:vault\.json|index|seen|sessions|locks|quarantine|sessions\/(?:[0-9a-f]{32}|_autosave)|locks\/\S+)$/;
  expect(names.filter((name) => !known.test(name))).toEqual([]);
  const around = await readdir(place.root);
  expect(around.sort()).toEqual(['config', 'credentials', 'data', 'home', 'project', 'temp']);
}
