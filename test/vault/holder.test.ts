import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { begin, home, user } from '../support/vault.ts';

describe('the holder of a session', () => {
  it.each([
    ['not JSON', '{'],
    ['not an object', 'null'],
    ['an invalid process id', '{"pid":"1","since":2}'],
    ['no time', '{"pid":1}'],
  ])('is not named where its file has %s', async (_, text) => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const path = join(at.directory, 'locks', `${session.fileId}.holder`);
    expect((await sessions.list())[0]!.held).toMatchObject({ pid: process.pid });
    writeFileSync(path, text);
    expect((await sessions.list())[0]!.held).toEqual({ pid: 0, since: 0 });
    rmSync(path);
    expect((await sessions.list())[0]!.held).toEqual({ pid: 0, since: 0 });
  });
});
