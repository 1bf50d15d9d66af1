import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportSchema, importSchema } from '../../src/cli/schemas.ts';
import { conversation, makePlace } from '../support/coffer.ts';

describe('a session that moves', () => {
  it('from one vault to another continues there unchanged', async () => {
    await using here = await makePlace();
    await using there = await makePlace();
    expect((await here.run(['--model', 'demo/echo'], { input: 'one\n/rename moving\ntwo\n' })).code).toBe(0);
    const { stdout: jsonl } = await here.run(['export', 'last', '--format', 'jsonl']);
    const piped = await there.run(['import', '-', '--json'], { input: jsonl });
    expect([piped.code, piped.stderr]).toEqual([0, '']);
    const { id, messages } = importSchema.parse(JSON.parse(piped.stdout)) as { id: string; messages: number };
    expect(messages).toBe(4);
    const before = await here.exported('last');
    const after = await there.exported(id);
    expect(exportSchema.safeParse(after)).toMatchObject({ success: true });
    expect(conversation(after)).toEqual(conversation(before));
    expect(after).toMatchObject({ name: 'moving', parent: { uuid: before.uuid, id: before.id } });
    const more = await there.run(['resume', 'moving'], { input: 'three\n' });
    expect([more.code, more.stdout]).toEqual([0, expect.stringContaining('echo: three')]);
    expect((await there.listed())[0]).toMatchObject({ id, messages: 6 });
  });

  it('in a file is imported from a directory that no longer exists', async () => {
    await using place = await makePlace();
    expect((await place.run(['--model', 'demo/echo'], { input: 'one\n' })).code).toBe(0);
    const path = join(place.project, 'one.jsonl');
    expect((await place.run(['export', '1', '-o', path])).code).toBe(0);
    const moved = (await readFile(path, 'utf8')).replaceAll(place.project, '/not/there');
    await writeFile(path, moved);
    const { code, stdout } = await place.run(['import', path]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^imported 2 messages as session \S+\n$/)]);
  });

  it('with a broken image says in which message it is and continues without it', async () => {
    await using place = await makePlace();
    expect((await place.run(['--model', 'demo/echo'], { input: 'look\n' })).code).toBe(0);
    const { stdout: jsonl } = await place.run(['export', '1', '--format', 'jsonl']);
    const text = { type: 'text', text: 'look' };
    const cat = { type: 'file', mediaType: 'image/png', filename: 'cat.png', data: 'eA==' };
    const events = jsonl
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const { message } of events) if (message?.role === 'user') message.content = [text, cat];
    const input = events.map((event) => `${JSON.stringify(event)}\n`).join('');
    const { code, stderr } = await place.run(['import', '-'], { input });
    expect([code, stderr]).toEqual([
      0,
      'message 1: models get only the name of cat.png, because it is not a PNG, JPEG, GIF or WebP image\n',
    ]);
    const more = await place.run(['resume', 'last'], { input: 'three\n' });
    expect([more.code, more.stdout]).toEqual([0, expect.stringContaining('echo: three')]);
  });
});

describe('an import that is refused', () => {
  it('changes nothing in the vault, and makes none', async () => {
    await using place = await makePlace();
    const path = join(place.project, 'broken.jsonl');
    const uuid = '0f8fad5b-d9cb-469f-a165-70867728950e';
    const good = [
      { coffer: 1, type: 'session', uuid },
      { id: 1, ts: 1, type: 'begin', uuid, directory: '/' },
    ];
    await writeFile(path, `${good.map((line) => JSON.stringify(line)).join('\n')}\n{"id":2,"ts":1,"type":"message"}\n`);
    const first = await place.run(['import', path, '--json']);
    expect(first.code).toBe(1);
    expect(JSON.parse(first.stderr).error).toMatchObject({
      code: 'IMPORT_INVALID',
      message: expect.stringMatching(/^line 3: /),
    });
    expect(await place.sessionFiles()).toEqual([]);
    await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    const before = await place.sessionBytes();
    expect((await place.run(['import', path])).code).toBe(1);
    expect(await place.sessionBytes()).toEqual(before);
  });

  it('says on a terminal that nothing is piped in', async () => {
    await using place = await makePlace();
    await using terminal = place.terminal(['import', '-']);
    await terminal.waitFor(/no input is piped in; coffer import <file> reads a file/);
    expect(await terminal.exit).toEqual({ code: 2, signal: null });
  });
});
