import { join } from 'node:path';
import { expect } from 'vitest';
import type { Listed } from '../support/coffer.ts';
import { chat, json, out, type Requirement, refused, say } from './row.ts';

/** B: everyday session commands. */
export const rowsB: readonly Requirement[] = [
  {
    row: 'B1',
    about: '/resume shows a picker, or takes last, an id or a number; /sessions and /history list',
    async drive(place) {
      await say(place, 'the first');
      await say(place, 'the second');
      const [, first] = (await json(place, ['sessions'])) as Listed[];
      for (const which of ['last', '1']) {
        expect(await chat(place, [`/resume ${which}`])).toMatch(/resumed session _autosave \(2 messages, demo\/echo\)/);
      }
      expect(await chat(place, [`/resume ${first?.id}`])).toMatch(new RegExp(`resumed session ${first?.id} `));
      for (const list of ['/sessions', '/history', '/resume']) {
        expect(await chat(place, [list])).toMatch(/saved sessions \(2\):\n {2}1\) _autosave\n {2}2\) /);
      }
      await using terminal = place.terminal(['--model', 'demo/echo']);
      await terminal.waitFor(/» /);
      terminal.enter('/resume');
      await terminal.waitFor(/resume which session\?[\s\S]*the second[\s\S]*the first/);
      terminal.type('second');
      terminal.key('enter');
      await terminal.waitFor(/resumed session .* \(2 messages, demo\/echo\)/);
    },
  },
  {
    row: 'B2',
    about: '/rename takes a name of 1 to 100 characters, which survives a restart',
    async drive(place) {
      await chat(place, ['hello', '/rename fixing the lock']);
      expect(await json(place, ['status', 'fixing the lock'])).toMatchObject({ name: 'fixing the lock' });
      for (const name of [' ', 'x'.repeat(101), 'a\u0007b']) {
        await refused(place, ['rename', '1', name], 2, /^coffer: a name .*$/m);
        expect(await chat(place, ['/resume 1', `/rename ${name}`])).toMatch(/^(a name|say the name).*$/m);
      }
      expect(await json(place, ['status', '1'])).toMatchObject({ name: 'fixing the lock' });
    },
  },
  {
    row: 'B3',
    about: 'a session keeps its history, provider, model, directory, times and message count',
    async drive(place) {
      await say(place, 'hello');
      const [row] = (await json(place, ['sessions'])) as (Listed & { begun: string; updated: string })[];
      expect(row).toMatchObject({ messages: 2, model: 'demo/echo', directory: place.project });
      expect(Date.parse(row?.begun ?? '')).toBeLessThanOrEqual(Date.parse(row?.updated ?? ''));
      expect(await out(place, ['export', '1'])).toMatch(
        /## user\n\nhello\n\n## assistant \(demo\/echo\)\n\necho: hello/,
      );
    },
  },
  {
    row: 'B4',
    about: 'settings are validated and have the documented defaults',
    async drive(place) {
      const rows = (await json(place, ['config', 'list'])) as { key: string; value: unknown }[];
      const values = Object.fromEntries(rows.map(({ key, value }) => [key, value]));
      expect(values).toMatchObject({ autoSave: true, saveInterval: 30_000, maxMessages: 1000 });
      for (const [key, wrong] of [
        ['saveInterval', '999'],
        ['maxSessions', '0'],
        ['maxMessages', '0'],
        ['retentionDays', '0'],
        ['autoSave', 'maybe'],
      ] as const) {
        await refused(place, ['config', 'set', key, wrong], 2, new RegExp(`${key} is .*; must be`));
      }
      await out(place, ['config', 'set', 'autoSave', 'false']);
      await chat(place, ['unsaved', '/save kept']);
      expect(((await json(place, ['sessions'])) as Listed[]).map(({ kind }) => kind)).toEqual(['snapshot']);
    },
  },
  {
    row: 'B5',
    about: 'the directory is the platform’s; precedence: command line, environment, setting',
    async drive(place) {
      const platform = { COFFER_DATA_DIR: undefined, XDG_DATA_HOME: undefined };
      const where = async (...args: string[]): Promise<string> =>
        (await out(place, [...args, 'doctor'], { env: platform })).split('\n')[0] ?? '';
      expect(await where()).toMatch(new RegExp(`^vault: ${RegExp.escape(place.home)}/.*coffer`));
      await out(place, ['config', 'set', 'directory', join(place.root, 'set')], { env: platform });
      expect(await where()).toMatch(/\/set /);
      expect(await out(place, ['doctor'])).toMatch(new RegExp(`^vault: ${RegExp.escape(place.data)}`));
      expect(await where('--data-dir', join(place.root, 'given'))).toMatch(/\/given /);
    },
  },
  {
    row: 'B6',
    about: 'retention is off by default, announced, shown by --dry-run, and spares named sessions',
    async drive(place) {
      for (const words of ['one', 'two', 'three']) await say(place, words);
      const oldest = (await place.listed()).at(-1)?.id ?? '';
      await out(place, ['save', oldest, 'a milestone']);
      await out(place, ['rename', oldest, 'precious']);
      expect((await place.run(['prune', '--dry-run'])).stderr).toMatch(/retention is off/);
      await out(place, ['config', 'set', 'maxSessions', '1']);
      expect(await out(place, ['prune', '--dry-run'])).toMatch(/^would be deleted: .*$/m);
      expect(await place.listed()).toHaveLength(4);
      const announced = await chat(place, []);
      expect(announced).toMatch(/^retention deletes .*: .*$/m);
      expect((await place.listed()).map(({ name }) => name).sort()).toEqual(['a milestone', 'precious', undefined]);
    },
  },
];
