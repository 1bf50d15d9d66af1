import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { makePlace, type Place, type Result } from '../support/coffer.ts';

describe('/save', () => {
  it('takes two snapshots if one name is used twice in a minute', async () => {
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

  it('takes a snapshot named by its time if no name is given, and a second one in the same minute', async () => {
    await using place = await makePlace();
    const { stdout } = await save(place, '', '   ');
    const ids = [...stdout.matchAll(/^session saved: (\d{4}-\d\d-\d\d_\d\d-\d\d(?:-\d)?) \(2 messages\)$/gm)].map(
      ([, id]) => id,
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('keeps a snapshot as it was while the conversation continues', async () => {
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
  const good = [
    'x',
    'n'.repeat(100),
    '🦊'.repeat(100),
    'fix 🦊👩‍👩‍👧‍👦 done',
    'Größe ändern, süß',
    '../x',
    '../../../../tmp/coffer-was-here',
    'a/b',
    '/etc/passwd',
    '--force',
    '_autosave',
    '.',
    '   trimmed   ',
  ];

  it('is restored as typed, and no file is named after it', async () => {
    await using place = await makePlace();
    const { stdout, code } = await save(place, ...good);
    expect(code).toBe(0);
    const saved = [...stdout.matchAll(/^session saved: (.*) \(2 messages\)$/gm)].map(([, id]) => id);
    const rows = (await place.listed()).filter(({ kind }) => kind === 'snapshot');
    const names = good.map((name) => name.trim());
    expect(rows.map(({ name }) => name).sort()).toEqual([...names].sort());
    expect(rows.map(({ id }) => id).sort()).toEqual(saved.sort());
    for (const { id, name } of rows) {
      expect(id.slice(0, 17)).toMatch(/^\d{4}-\d\d-\d\d_\d\d-\d\d_$/);
      expect(id.slice(17)).toBe(name);
    }
    const known = /^(?:vault\.json|seen|sessions|locks|sessions\/(?:[0-9a-f]{32}|_autosave)|locks\/[0-9a-z.]+)$/;
    const there = await readdir(place.data, { recursive: true });
    expect(there.filter((name) => !known.test(name))).toEqual([]);
    expect((await readdir(place.root)).sort()).toEqual(['config', 'credentials', 'data', 'home', 'project', 'temp']);
    expect(await readdir(place.project)).toEqual([]);
  });

  it.each(['🦊'.repeat(100), 'Größe ändern, süß', '../x', 'a/b', '--force'])('%s resumes it', async (name) => {
    await using place = await makePlace();
    await save(place, name);
    const resumed = await place.run([], { input: `/resume ${name}\n` });
    expect(resumed.stdout).toMatch(/^resumed session \d{4}-\d\d-\d\d_\d\d-\d\d_/);
    expect(resumed.stdout).toContain(`_${name} (2 messages, demo/echo)`);
    expect((await place.run(['export', '--format', 'json', '--', name])).code).toBe(0);
  });

  it.each([
    ['of 101 characters', 'n'.repeat(101)],
    ['with a bell', 'a\u0007b'],
    ['with an escape sequence', 'a\u001b[31mb'],
    ['with a tab inside', 'a\tb'],
    ['with a C1 control character', 'a\u009bb'],
    ['that reverses the displayed text', 'a\u202eb'],
  ])('%s is refused in one line, and nothing is written', async (_, name) => {
    await using place = await makePlace();
    const { stdout, stderr } = await save(place, name);
    expect(stdout).toBe('echo: hello\necho: afterwards\n');
    expect(stderr.split('\n').filter((line) => line.includes('name'))).toHaveLength(1);
    expect(stderr.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    expect((await place.listed()).map(({ kind }) => kind)).toEqual(['session']);
  });
});

/** Says something, then takes a snapshot under each name, then says one thing more. */
function save(place: Place, ...names: string[]): Promise<Result> {
  const commands = names.map((name) => `/save ${name}\n`).join('');
  return place.run(['--model', 'demo/echo'], { input: `hello\n${commands}afterwards\n` });
}
