import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Listed } from '../support/coffer.ts';
import { conversation } from '../support/coffer.ts';
import { startModelServer } from '../support/model-server.ts';
import { chat, json, out, type Requirement, refused, say } from './row.ts';

/** E: projects. F: requested features. */
export const rowsEF: readonly Requirement[] = [
  {
    row: 'E1',
    about: 'a start begins a new session in the current directory, or in that of --path',
    async drive(place) {
      const other = join(place.root, 'other');
      mkdirSync(other);
      await say(place, 'here');
      await say(place, 'there', '--path', other);
      const rows = await place.listed();
      expect(rows.map(({ directory }) => directory)).toEqual([other, place.project]);
    },
  },
  {
    row: 'E2',
    about: '-l lists the sessions of this directory, -c takes the newest, -a a number or a prefix',
    async drive(place) {
      const other = join(place.root, 'other');
      mkdirSync(other);
      await say(place, 'ours');
      await say(place, 'theirs', '--path', other);
      const list = await out(place, ['-l']);
      expect(list).toMatch(/^ {2}2\) .*ours.*1 task/m);
      expect(list).not.toContain('theirs');
      await say(place, 'with -c', '-c');
      await say(place, 'with a number', '-a', '1');
      const uuid = ((await json(place, ['sessions'])) as (Listed & { uuid: string })[])[0]?.uuid ?? '';
      await say(place, 'with a prefix', '-a', uuid.slice(0, 8));
      expect(conversation(await place.exported('1')).filter((line) => line.startsWith('user'))).toEqual(
        ['ours', 'with -c', 'with a number', 'with a prefix'].map((words) => `user: ${words}`),
      );
      await refused(place, ['-a', '99'], 10, /no session 99/);
      await refused(place, ['-a', 'zzzz'], 10, /no session zzzz/);
    },
  },
  {
    row: 'E3',
    about: 'tasks and cost add up and are saved; an unknown cost is shown as unknown, never 0',
    async drive(place) {
      await using server = await startModelServer();
      const providers = {
        known: { baseURL: server.openai, prices: { model: { input: 1_000_000, output: 2_000_000 } } },
        unknown: { baseURL: server.openai },
      };
      writeFileSync(join(place.config, 'settings.json'), JSON.stringify({ providers }), { mode: 0o600 });
      await out(place, ['--model', 'known/model', '-p', 'one']);
      await out(place, ['-c', '-p', 'two']);
      expect(await json(place, ['status', '1'])).toMatchObject({ tasks: 2, cost: 34 });
      await out(place, ['--model', 'unknown/model', '-p', 'one']);
      expect(await json(place, ['status', '1'])).toMatchObject({ tasks: 1, cost: null });
      expect(await out(place, ['status', '1'])).toMatch(/^cost +unknown$/m);
    },
  },
  {
    row: 'E4',
    about: 'sessions are kept until the user deletes them',
    async drive(place) {
      await say(place, 'one');
      await say(place, 'two');
      await chat(place, []);
      expect(await place.listed()).toHaveLength(2);
      await refused(place, ['delete', '2'], 2, /--yes/);
      await out(place, ['delete', '2', '--yes']);
      expect(await place.listed()).toHaveLength(1);
    },
  },
  {
    row: 'F9',
    about: 'fork, rewind, tags, pin, archive; incognito',
    async drive(place) {
      await chat(place, [
        'one',
        'two',
        'three',
        '/rewind 1',
        'another two',
        '/tag work',
        '/pin',
        '/fork 1',
        'in the fork',
      ]);
      const users = async (which: string): Promise<string> =>
        (await out(place, ['export', which])).replace(/^[\s\S]*?## user/, '## user');
      const rows = (await json(place, ['sessions'])) as (Listed & { tags?: string[]; pinned?: boolean })[];
      expect(rows).toHaveLength(2);
      const parent = rows.find(({ pinned }) => pinned === true);
      const fork = rows.find(({ pinned }) => pinned !== true);
      expect(parent).toMatchObject({ tags: ['work'], messages: 4 });
      expect(fork).toMatchObject({ messages: 4 });
      expect(await users(fork?.id ?? '')).toMatch(/one[\s\S]*in the fork/);
      expect(await users(fork?.id ?? '')).not.toMatch(/another two|three/);
      await out(place, ['archive', parent?.id ?? '']);
      expect(await json(place, ['sessions'])).toHaveLength(1);
      expect(await json(place, ['sessions', '--all'])).toHaveLength(2);
      const before = await place.sessionBytes();
      await say(place, 'between us', '--incognito');
      expect(await place.sessionBytes()).toEqual(before);
    },
  },
  {
    row: 'F12',
    about: 'doctor explains what is wrong, what it means and what to do',
    async drive(place) {
      await say(place, 'hello');
      expect(await out(place, ['doctor'])).toMatch(/no problems found/);
      const [name = ''] = await place.sessionFiles();
      writeFileSync(place.sessionFile(name), 'nonsense');
      const { code, stdout } = await place.run(['doctor']);
      expect(code).toBe(13);
      expect(stdout).toMatch(/problems found/);
    },
  },
];
