import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { VaultKey } from '../../src/envelope/key.ts';
import { unpackSegment } from '../../src/envelope/segment.ts';
import { openVault } from '../../src/session/open-vault.ts';
import { openSealedFile } from '../../src/vault/file/open.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { begin, user } from '../support/vault.ts';

beforeEach(requirePosix);

const echo = ['--model', 'demo/echo'];
const SECRET = 'sk-live-0123456789';

/** Returns everything sealed in the files of a place: every frame, and the lines of the list. */
async function sealed(place: Place): Promise<string> {
  const key = VaultKey.from(place.key);
  const files = (await place.sessionFiles()).map((name) => openSealedFile(place.sessionFile(name), name, key));
  return files
    .flatMap(({ segments, summary }) => [
      ...segments.map((segment) => unpackSegment(segment).toString()),
      summary.toString(),
    ])
    .join('\n');
}

async function generations(place: Place): Promise<bigint[]> {
  const key = VaultKey.from(place.key);
  return (await place.sessionFiles()).map(
    (name) => openSealedFile(place.sessionFile(name), name, key).header.generation,
  );
}

describe('/redact', () => {
  it('removes the text everywhere in the vault, and the conversation continues', async () => {
    await using place = await makePlace();
    const { stdout } = await place.run(echo, {
      input: `the key is ${SECRET}\n/rename about ${SECRET}\n/redact ${SECRET}\nwhat was it?\n`,
    });
    expect(stdout).toContain('redacted: 3 events of this conversation had that text\n');
    expect(stdout).toContain('echo: what was it?\n');
    const lines = await sealed(place);
    expect(lines).toContain('the key is [redacted]');
    expect(lines).toContain('about [redacted]');
    expect(lines).not.toContain(SECRET);
    expect((await place.listed())[0]).toMatchObject({ name: 'about [redacted]', messages: 4 });
  });

  it('asks for it on a terminal without echo, and keeps it out of the history', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: `the key is ${SECRET}\n` });
    await using chat = place.terminal(['resume', '1']);
    await chat.waitFor(/» /);
    chat.enter('/redact');
    await chat.waitFor(/text to remove from the record: /);
    chat.enter(SECRET);
    await chat.waitFor(/redacted: 2 events/);
    await chat.waitFor(/» /);
    expect(chat.screen()).not.toContain(SECRET);
    chat.enter(`/redact ${SECRET}`);
    await chat.waitFor(/does not contain that text/);
    await chat.waitFor(/» /);
    const shown = chat.screen().split(SECRET).length;
    for (let press = 0; press < 4; press++) chat.key('up');
    chat.key('ctrl+u');
    chat.enter('done');
    await chat.waitFor(/echo: done/);
    expect(chat.screen().split(SECRET).length).toBe(shown);
    chat.key('ctrl+d');
    await chat.exit;
    expect(await sealed(place)).not.toContain(SECRET);
  });

  it('writes nothing if it finds nothing', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: 'hello\n' });
    const before = await place.sessionBytes();
    const { code, stdout } = await place.run(['redact', 'last'], { input: `${SECRET}\n` });
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing is changed') });
    expect(await place.sessionBytes()).toEqual(before);
  });
});

describe('coffer redact', () => {
  it('asks for it on a terminal without echo', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: `the key is ${SECRET}\n` });
    const [before] = await generations(place);
    await using asked = place.terminal(['redact', 'last']);
    await asked.waitFor(/text to remove from the record: /);
    asked.enter(SECRET);
    await asked.waitFor(/redacted: 2 events/);
    expect(await asked.exit).toEqual({ code: 0, signal: null });
    expect(asked.screen()).not.toContain(SECRET);
    expect(await sealed(place)).not.toContain(SECRET);
    expect((await generations(place))[0]).toBeGreaterThan(before ?? 0n);
  });

  it('takes a file of several lines from standard input', async () => {
    await using place = await makePlace();
    const message = ['it is', '-----BEGIN KEY-----', 'MIIEowIBAAKC', '-----END KEY-----'];
    await place.run(['-p', message.join('\n'), ...echo]);
    const { code, stdout } = await place.run(['redact', 'last'], { input: `${message.slice(1).join('\n')}\n` });
    expect(code).toBe(0);
    expect(stdout).toContain('redacted: 2 events');
    const lines = await sealed(place);
    for (const line of message.slice(1)) expect(lines).not.toContain(line);
    expect(lines).toContain('it is\\n[redacted]');
  });

  it('names the files that still contain the text, and what to do about it, until none does', async () => {
    await using place = await makePlace();
    await place.run(echo, { input: `the key is ${SECRET}\n/save before\n/fork\nand on\n/reset\nnothing of it\n` });
    const rows = await place.listed();
    const [snapshot] = rows.filter(({ kind }) => kind === 'snapshot');
    const having = rows.filter(({ kind, fileId }) => kind === 'session' && fileId !== rows[0]?.fileId);
    expect(having).toHaveLength(2);
    const first = await place.run(['redact', having[0]?.id ?? ''], { input: `${SECRET}\n` });
    expect(first.stderr).toContain(
      `${snapshot?.id} still has that text; it is a snapshot: coffer delete ${snapshot?.id}\n`,
    );
    expect(first.stderr).toContain(`${having[1]?.id} still has that text; coffer redact ${having[1]?.id}\n`);
    expect(first.stderr).not.toContain(`${rows[0]?.id} still has`);
    expect(first.stderr).not.toContain(SECRET);
    expect((await place.run(['redact', having[1]?.id ?? ''], { input: `${SECRET}\n` })).code).toBe(0);
    expect((await place.run(['delete', snapshot?.id ?? '', '--yes'])).code).toBe(0);
    expect(await sealed(place)).not.toContain(SECRET);
    const last = await place.run(['redact', rows[0]?.id ?? ''], { input: `${SECRET}\n` });
    expect(last.stderr).toBe('');
  });

  it('names the files in quarantine of that session, and the providers it was sent to', async () => {
    await using place = await makePlace();
    await using sessions = await openVault({ directory: place.data, env: place.libraryEnv });
    const session = begin(sessions);
    const message = { role: 'assistant', content: `your key is ${SECRET}` } as const;
    await session.append(user('what is my key?'), { type: 'message', model: 'openai/gpt', message });
    await session.close();
    const quarantine = join(place.data, 'quarantine');
    await mkdir(quarantine, { recursive: true });
    await writeFile(join(quarantine, `${session.fileId}.torn`), 'sealed as it was', { mode: 0o600 });
    await writeFile(join(quarantine, `${'f'.repeat(32)}.torn`), 'of another', { mode: 0o600 });
    const { code, stderr } = await place.run(['redact', 'last'], { input: `${SECRET}\n` });
    expect(code).toBe(0);
    expect(stderr).toContain(`${join(quarantine, `${session.fileId}.torn`)} still has that text; remove it by hand\n`);
    expect(stderr).not.toContain('f'.repeat(32));
    expect(stderr).toContain('openai was sent that text, or may have been\n');
    expect(stderr).toContain('coffer key rotate');
    expect(stderr).toContain('older backups still have that text');
  });

  it("refuses what it can't do, and changes nothing", async () => {
    await using place = await makePlace();
    await place.run(echo, { input: `the key is ${SECRET}\n/save before\n` });
    const before = await place.sessionBytes();
    const refusals: [string[], string, number][] = [
      [['redact', 'before'], `${SECRET}\n`, 1],
      [['redact', 'last'], '', 2],
      [['redact', 'last'], '\n', 2],
      [['redact', 'last'], 'key\n', 2],
      [['redact', 'last'], '[redacted]\n', 2],
      [['redact', 'nothing'], `${SECRET}\n`, 10],
      [['redact', 'last', SECRET], '', 2],
    ];
    for (const [args, input, wanted] of refusals) {
      const { code, stderr } = await place.run(args, { input });
      expect(code, `${args.join(' ')} < ${input}`).toBe(wanted);
      expect(stderr).not.toContain(SECRET);
    }
    expect(await place.sessionBytes()).toEqual(before);
  });

  it('is refused for a session that another process holds', async () => {
    await using place = await makePlace();
    await using live = place.terminal(echo);
    await live.waitFor(/» /);
    live.enter('a secret word');
    await live.waitFor(/echo: a secret word/);
    await live.waitFor(/» /);
    const before = await place.sessionBytes();
    const refused = await place.run(['redact', '1'], { input: 'secret\n' });
    expect(refused.code).toBe(11);
    expect(refused.stderr).toMatch(new RegExp(`process ${live.pid}\\b`));
    expect((await place.run(['redact', '1'], { input: 'not in there\n' })).code).toBe(0);
    expect(await place.sessionBytes()).toEqual(before);
    live.key('ctrl+d');
    await live.exit;
  });
});
