import { randomBytes } from 'node:crypto';
import { chmod, lstat, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { doctorSchema } from '../../src/cli/schemas.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import { sessionsOf } from '../../src/session/open-vault.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  ({ folder, env } = await makeFolder());
});
afterEach(() => rm(folder, { recursive: true }));

async function record(...events: NewEvent[]): Promise<string> {
  await using sessions = sessionsOf({ env });
  await using session = sessions.begin({ directory: folder, model: 'demo/echo' });
  await session.append(...events);
  return session.fileId ?? '';
}

async function coffer(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const fake = new FakeTerminal();
  const { code } = await runHere(fake, args, env);
  return { code, out: fake.out, err: fake.err };
}

const hello: NewEvent = { type: 'message', message: { role: 'user', content: 'hello' } };

describe('export', () => {
  it('shows every part of every message', async () => {
    await record(
      { type: 'message', message: { role: 'system', content: 'be brief' } },
      { type: 'name', name: 'mine' },
      {
        type: 'message',
        message: {
          role: 'user',
          content: [
            { type: 'text', text: 'look:' },
            { type: 'file', mediaType: 'image/png', data: 'AAAA', filename: 'a.png' },
          ],
        },
      },
      {
        type: 'message',
        model: 'demo/echo',
        message: {
          role: 'assistant',
          content: [
            { type: 'reasoning', text: 'hm\nwell' },
            { type: 'tool-call', toolCallId: '1', toolName: 'read', input: { path: 'x' } },
          ],
        },
      },
      {
        type: 'message',
        message: { role: 'tool', content: [{ type: 'tool-result', toolCallId: '1', toolName: 'read', output: 'y' }] },
      },
      { type: 'message', model: 'demo/echo', partial: true, message: { role: 'assistant', content: 'half a' } },
      { type: 'error', code: 'MODEL_FAILED', message: 'broke off' },
    );
    const { out } = await coffer('export', '1');
    expect(out.slice(out.indexOf('## system'))).toBe(
      [
        '## system\n\nbe brief',
        '## user\n\nlook:\n\n[file a.png image/png]',
        '## assistant (demo/echo)\n\n> hm\n> well\n\ntool call: read\n\n```json\n{\n  "path": "x"\n}\n```',
        '## tool\n\nresult of read\n\n```\ny\n```',
        '## assistant (demo/echo), cut short\n\nhalf a',
        '> error: broke off\n',
      ].join('\n\n'),
    );
    expect(out).toMatch(/^# mine\n\n- id: /);
  });

  it('prints events unchanged in JSON, without control characters', async () => {
    const content = 'a\u001b[2J\u009b\u202e\n';
    await record({ type: 'message', message: { role: 'user', content } });
    const json = await coffer('export', '1', '--format', 'json');
    expect(json.out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    const { events, ...about } = JSON.parse(json.out);
    expect(events).toContainEqual(expect.objectContaining({ type: 'message', message: { role: 'user', content } }));
    expect(about).toMatchObject({ kind: 'session', model: 'demo/echo', messages: 1, directory: folder });
    const shown = 'a\\x1b[2J\\x9b\\u202e\n';
    expect((await coffer('export', '1')).out).toContain(shown);
    await coffer('export', '1', '-o', join(folder, 'out.md'));
    expect((await readFile(join(folder, 'out.md'), 'utf8')).split(shown)).toHaveLength(3);
  });

  it('makes a file that only this user can read, and follows no link', async () => {
    await record(hello);
    const path = join(folder, 'out.md');
    const before = process.umask(0);
    expect((await coffer('export', '1', '-o', path)).code).toBe(0);
    process.umask(before);
    expect((await lstat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'utf8')).toBe((await coffer('export', '1')).out);
    await symlink(join(folder, 'elsewhere'), join(folder, 'link'));
    expect(await coffer('export', '1', '-o', join(folder, 'link'))).toMatchObject({ code: 1, out: '' });
    expect(await readdir(folder)).not.toContain('elsewhere');
  });
});

describe('delete', () => {
  it('reports the holder of an open session in the error', async () => {
    await using sessions = sessionsOf({ env });
    await using session = sessions.begin({ directory: folder, model: 'demo/echo' });
    await session.append(hello);
    const { code, error } = await runHere(new FakeTerminal(), ['delete', '1', '--yes'], env);
    expect(code).toBe(11);
    expect(error?.holder).toMatchObject({ pid: process.pid });
  });
});

describe('doctor', () => {
  it('names what others can read, and how to fix it', async () => {
    const path = join(folder, 'vault/sessions', await record(hello));
    await chmod(path, 0o644);
    const { code, out } = await coffer('doctor');
    expect(code).toBe(1);
    expect(out).toContain(`permissions: need fixing\n  ${path} has mode 644 instead of 600; fix it with chmod 600\n`);
    expect(out).toMatch(/\nproblems found\n$/);
  });

  it('reads every file to its end, and says of each that can not be opened why and what to do', async () => {
    const good = await record(hello);
    const long = randomBytes(40_000).toString('base64');
    const bad = await record({ type: 'message', message: { role: 'user', content: long } });
    const newer = await record(hello);
    const change = async (name: string, at: number): Promise<Buffer> => {
      const path = join(folder, 'vault/sessions', name);
      const bytes = await readFile(path);
      bytes[at < 0 ? bytes.length + at : at]! ^= 1;
      await writeFile(path, bytes);
      return bytes;
    };
    const kept = await change(bad, -1);
    await change(newer, 8);
    const { code, out } = await coffer('doctor');
    expect([13, 14]).toContain(code);
    expect(out).toContain('files: 3 sealed, 0 in quarantine\n');
    expect(out).toMatch(
      new RegExp(`^ {2}file ${bad}: .*; it is damaged or was changed.*restore it from a backup$`, 'm'),
    );
    expect(out).toMatch(new RegExp(`^ {2}file ${newer}: .*; update coffer to open it$`, 'm'));
    expect(out).not.toContain(good);
    expect(await readFile(join(folder, 'vault/sessions', bad))).toEqual(kept);
  });

  it('is one object with --json, of which the code is the first problem', async () => {
    const name = await record(hello);
    const plain = await coffer('doctor');
    const well = doctorSchema.parse(JSON.parse((await coffer('doctor', '--json')).out));
    const report = plain.out.trimEnd().split('\n');
    expect(well).toEqual({ directory: join(folder, 'vault'), well: true, report });
    await writeFile(join(folder, 'vault/sessions', name), 'nonsense');
    const { code, out, err } = await coffer('doctor', '--json');
    expect({ code, err }).toEqual({ code: 13, err: '' });
    expect(doctorSchema.parse(JSON.parse(out))).toMatchObject({
      well: false,
      error: { code: 'UNAUTHENTIC', reason: expect.any(String) },
    });
  });

  it('says that vault.json is damaged, and that a crash left something', async () => {
    const name = await record(hello);
    await writeFile(join(folder, 'vault/sessions', `.${name}.0123456789abcdef.tmp`), '', { mode: 0o600 });
    expect((await coffer('doctor')).out).toContain(
      '  1 left by a crash; the next save of their session removes them\n',
    );
    await writeFile(join(folder, 'vault/vault.json'), 'nonsense');
    const { code, out } = await coffer('doctor');
    expect(code).toBe(13);
    expect(out.match(/vault\.json is damaged/g)).toHaveLength(1);
  });
});

describe('sessions --json', () => {
  it('says what can not be opened, and escapes what drives a terminal', async () => {
    const path = join(
      folder,
      'vault/sessions',
      await record({ type: 'message', message: { role: 'user', content: 'a\u009b' } }),
    );
    const { out } = await coffer('sessions', '--json');
    expect(out).not.toContain('\u009b');
    expect(JSON.parse(out)).toMatchObject([{ number: 1, title: 'a\u009b', status: 'completed' }]);
    await writeFile(path, 'nonsense');
    const broken = await coffer('sessions', '--json');
    expect(broken.code).toBe(0);
    expect(JSON.parse(broken.out)).toMatchObject([{ begun: null, unreadable: { code: 'UNAUTHENTIC' } }]);
  });
});
