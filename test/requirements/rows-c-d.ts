import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Listed } from '../support/coffer.ts';
import { startModelServer } from '../support/model-server.ts';
import { chat, json, out, type Requirement, refused, say } from './row.ts';

interface Logged {
  id: number;
  type: string;
  status?: string;
  reason?: string;
}

/** Returns the parsed lines of `coffer logs --json`. */
async function logged(place: Parameters<typeof json>[0], which: string): Promise<Logged[]> {
  const lines = (await out(place, ['logs', which, '--json'])).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Logged);
}

/** C: workspaces. D: sessions as processes. */
export const rowsCD: readonly Requirement[] = [
  {
    row: 'C1',
    about: 'a session has its own history, model, permissions and marks',
    async drive(place) {
      await chat(place, ['one', '/permissions allow write', '/pin', '/new', 'two', '/permissions']);
      const [second, first] = await Promise.all(['1', '2'].map((which) => json(place, ['status', which])));
      expect(first).toMatchObject({ title: 'one', pinned: true, permissions: [{ rule: 'write', decision: 'allow' }] });
      expect(second).toMatchObject({ title: 'two', pinned: false, permissions: [] });
      expect(await out(place, ['export', '1'])).not.toContain('one');
    },
  },
  {
    row: 'C2',
    about: '/new, /session list, /session info, /reset with model and permissions kept, /model list, /help',
    async drive(place) {
      const lines = [
        'one',
        '/permissions allow write',
        '/reset',
        'two',
        '/permissions',
        '/session info',
        '/session list',
      ];
      const shown = await chat(place, [...lines, '/new', '/model list', '/help']);
      expect(shown).toMatch(/allow write/);
      expect(shown).toMatch(/^model +demo\/echo$/m);
      expect(shown).toMatch(/saved sessions \(2\):/);
      expect(shown).toMatch(/^ {2}demo\/echo/m);
      for (const command of ['/new', '/session', '/reset', '/model', '/help', '/resume']) {
        expect(shown).toMatch(new RegExp(`^ {2}${command}\\b.* {2,}\\S`, 'm'));
      }
      expect(await json(place, ['status', '1'])).toMatchObject({
        permissions: [{ rule: 'write', decision: 'allow' }],
        model: 'demo/echo',
      });
    },
  },
  {
    row: 'C3',
    about: 'a tool is allowed once or for the session; without a terminal, nothing runs without permission',
    async drive(place) {
      const path = join(place.project, 'new.txt');
      await out(place, ['--model', 'demo/tools', '-p', 'write new.txt hello']);
      expect(() => readFileSync(path)).toThrow('ENOENT');
      await using terminal = place.terminal(['--model', 'demo/tools']);
      for (const [answer, words] of [
        ['n', undefined],
        ['o', 'first'],
        ['s', 'second'],
      ] as const) {
        await terminal.waitFor(/» /);
        terminal.enter(`write new.txt ${words ?? 'never'}`);
        await terminal.waitFor(/allow\? \[y\]es, once; for this \[s\]ession; \[n\]o; \[d\]eny for this session: /);
        terminal.enter(answer);
        await terminal.waitFor(/write_file new\.txt/);
        if (words === undefined) expect(() => readFileSync(path)).toThrow('ENOENT');
      }
      await terminal.waitFor(/» /);
      terminal.enter('/reset');
      await terminal.waitFor(/» /);
      terminal.enter('write new.txt third');
      await terminal.waitFor(/write_file new\.txt/);
      await terminal.waitFor(/» /);
      expect(readFileSync(path, 'utf8')).toBe('third\n');
    },
  },
  {
    row: 'D1',
    about: 'a status is running with its process, completed, cancelled or failed, and correct after a crash',
    async drive(place) {
      await using live = place.terminal(['--model', 'demo/echo']);
      await live.waitFor(/» /);
      live.enter('hello');
      await live.waitFor(/echo: hello/);
      const running = { status: 'running', held: { pid: live.pid } };
      expect(await json(place, ['sessions', '--status', 'running'])).toMatchObject([running]);
      expect(await json(place, ['status', '1'])).toMatchObject(running);
      live.kill('SIGKILL');
      await live.exit;
      expect(await json(place, ['sessions', '--status', 'failed'])).toMatchObject([{ status: 'interrupted' }]);
      expect(await json(place, ['sessions', '--status', 'running'])).toEqual([]);
      await say(place, 'again', '-c');
      expect(await json(place, ['sessions'])).toMatchObject([{ status: 'completed' }]);
      const statuses = (await logged(place, '1')).flatMap(({ status, reason }) => (status ? [reason ?? status] : []));
      expect(statuses).toEqual(['running', 'interrupted', 'running', 'completed']);
    },
  },
  {
    row: 'D2',
    about: 'every fact is an event, ids rise across resumes, and logs follows them',
    async drive(place) {
      writeFileSync(join(place.project, 'notes.txt'), 'a note\n');
      await out(place, ['--model', 'demo/tools', '-p', 'read notes.txt\nrun ls']);
      await say(place, 'again', '-c');
      await out(place, ['fork', '1']);
      const events = await logged(place, '1');
      const ids = events.map(({ id }) => id);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      expect(new Set(ids).size).toBe(ids.length);
      const wanted = ['message', 'usage', 'tool-start', 'tool-end', 'approval-asked', 'approval-answered', 'status'];
      expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(wanted));
      await using follower = place.terminal(['logs', '1', '--follow']);
      await follower.waitFor(/message user: again/);
      await say(place, 'while it follows', 'resume', '1');
      await follower.waitFor(/message user: while it follows/);
      follower.key('ctrl+c');
      expect(await follower.exit).toEqual({ code: null, signal: 'SIGINT' });
    },
  },
  {
    row: 'D3',
    about: 'sessions is filtered by limit, status, age and text, and prints JSON',
    async drive(place) {
      for (const words of ['about auth', 'about locks', 'about AUTH again']) await say(place, words);
      const titles = async (...args: string[]): Promise<string[]> =>
        ((await json(place, ['sessions', ...args])) as (Listed & { title: string })[]).map(({ title }) => title);
      expect(await titles('--search', 'auth')).toEqual(['about AUTH again', 'about auth']);
      expect(await titles('--limit', '1')).toEqual(['about AUTH again']);
      expect(await titles('--since-hours', '24', '--status', 'completed')).toHaveLength(3);
      expect(await titles('--search', '[a-')).toEqual([]);
      expect(await out(place, ['sessions', '--search', 'locks'])).toMatch(/^ {2}2\) /m);
      for (const wrong of ['soon', '-1', ''])
        await refused(place, ['sessions', '--since-hours', wrong], 2, /since-hours/);
      await refused(place, ['sessions', '--status', 'asleep'], 2, /running.*completed.*cancelled.*failed/);
    },
  },
  {
    row: 'D4',
    about: 'resume with a prompt and a model, -r, --no-resume, and automatic resume',
    async drive(place) {
      await say(place, 'first');
      expect(await out(place, ['resume', '1', '--prompt', 'second', '--model', 'demo/eliza'])).not.toBe('');
      expect(await json(place, ['status', '1'])).toMatchObject({ model: 'demo/eliza', messages: 4 });
      await say(place, 'third', '-r');
      expect(await json(place, ['status', '1'])).toMatchObject({ model: 'demo/echo', messages: 6 });
      await out(place, ['config', 'set', 'autoResume', 'true']);
      expect((await place.run(['-p', 'fourth'])).stderr).toMatch(
        /resuming _autosave \(autoResume\); --no-resume begins a new one/,
      );
      expect(await place.listed()).toHaveLength(1);
      await say(place, 'fifth', '--no-resume');
      expect(await place.listed()).toHaveLength(2);
    },
  },
  {
    row: 'D5',
    about: 'status shows a session’s details, directory, parent and children, as text and as JSON',
    async drive(place) {
      await say(place, 'hello');
      await out(place, ['fork', '1']);
      const rows = await place.listed();
      const found = await Promise.all(rows.map(({ id }) => json(place, ['status', id])));
      const parent = found.find((status) => (status as { children: unknown[] }).children.length === 1);
      const child = found.find((status) => (status as { parent?: object }).parent !== undefined);
      expect(child).toMatchObject({ parent: { id: (parent as { id: string }).id, reason: 'forked after prompt 1' } });
      expect(await out(place, ['status', '1'])).toMatch(/^directory +\S+project$/m);
    },
  },
  {
    row: 'D6',
    about: '/compact, and automatically when the window fills, with a warning first and the newest messages kept',
    async drive(place) {
      await using server = await startModelServer();
      const providers = { here: { baseURL: server.openai, contextWindow: 15 } };
      const settings = { providers, keepMessages: 2, tools: false };
      writeFileSync(join(place.config, 'settings.json'), JSON.stringify(settings), { mode: 0o600 });
      const prompts = ['one', 'two', 'three'].map((word) => `${word} ${'and so on '.repeat(20)}`);
      const shown = await chat(place, [...prompts, '/compact'], ['--model', 'here/model']);
      expect(shown).toMatch(/^the context uses .* tokens \(\d+ %\): summarising older messages$/m);
      expect(shown).toMatch(/^summarised \d+ messages? to free context; saved history is unchanged$/m);
      const events = await logged(place, '1');
      const types = events.map(({ type }) => type).filter((type) => type.startsWith('co'));
      expect(types.join(' ')).toContain('context-warning compaction');
      expect(events.filter(({ type }) => type === 'message')).toHaveLength(6);
    },
  },
  {
    row: 'D7',
    about: '/export and coffer export write Markdown and JSON',
    async drive(place) {
      const file = join(place.project, 'out.md');
      await chat(place, ['hello', `/export markdown ${file}`]);
      expect(readFileSync(file, 'utf8')).toMatch(/## user\n\nhello/);
      const exported = JSON.parse(await out(place, ['export', '1', '--format', 'json'])) as { events: Logged[] };
      expect(exported.events.map(({ type }) => type)).toContain('message');
    },
  },
  {
    row: 'D11',
    about: 'settings: the directory, limits of turns and tool calls, compacting at the end',
    settings: { maxToolCalls: 2, maxTurns: 3, compactOnFinish: true, keepMessages: 1 },
    async drive(place) {
      writeFileSync(join(place.project, 'a'), 'a\n');
      const result = await place.run(['--model', 'demo/tools', '-p', 'read a\nread a\nread a']);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/at most 2 .*\(maxToolCalls\)/);
      const ends = (await logged(place, '1')).filter(({ type }) => type === 'tool-end');
      expect(ends.map((end) => Reflect.get(end, 'outcome'))).toEqual(['completed', 'completed', 'denied']);
      const kinds = async (): Promise<string[]> => (await logged(place, '1')).map(({ type }) => type);
      expect(await kinds()).not.toContain('compaction');
      await say(place, 'again', '-c');
      expect(await kinds()).toContain('compaction');
    },
  },
];
