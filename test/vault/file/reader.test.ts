import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LookUp } from '../../../src/keyring/keyring.ts';
import { encodeEvents } from '../../../src/session/event/event.ts';
import { PYTHON, READER, requirePython } from '../../envelope/support.ts';
import { begin, crashed, type Home, home, reply, user } from '../../support/vault.ts';

async function readByPython(at: Home, fileId: string): Promise<string> {
  const { key } = JSON.parse(readFileSync(join(at.directory, 'vault.json'), 'utf8'));
  const { secret } = (await at.keyring.get(key)) as LookUp & { outcome: 'READY' };
  const answer = spawnSync(PYTHON, [READER, '-', at.path(fileId)], { input: secret.toString('hex'), encoding: 'utf8' });
  expect(answer).toMatchObject({ status: 0, stderr: '' });
  return answer.stdout;
}

describe('docs/read_vault.py on a vault', () => {
  it('prints the events of a fresh one', async (context) => {
    requirePython(context);
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('grüße 🎈'), reply('hello'));
    await session.append({
      type: 'usage',
      model: 'demo/echo',
      usage: { inputTokens: 1, outputTokens: null, cost: null },
    });
    expect(await readByPython(at, session.fileId!)).toBe(encodeEvents(session.events).toString());
  });

  it('prints the current vault.json, and nothing of one that something else changed', async (context) => {
    requirePython(context);
    const at = home();
    await using sessions = await at.open();
    await sessions.keys.slots.addPassphrase('grüße');
    await begin(sessions).append(user('one'));
    const path = join(at.directory, 'vault.json');
    const text = readFileSync(path, 'utf8');
    const { secret } = (await at.keyring.get(JSON.parse(text).key)) as LookUp & { outcome: 'READY' };
    const read = (): { status: number | null; stdout: string; stderr: string } =>
      spawnSync(PYTHON, [READER, '-', path], { input: secret.toString('hex'), encoding: 'utf8' });
    expect(read()).toMatchObject({ status: 0, stdout: text, stderr: '' });
    writeFileSync(path, text.replace('"memory"', '"keytar"'));
    expect(read()).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('vault.json is not') });
  });

  it('prints a reply once that was saved while it arrived, from a file of several frames', async (context) => {
    requirePython(context);
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('x'.repeat(200_000)));
    session.draft = { type: 'message', message: { role: 'assistant', content: 'hal' }, partial: true };
    await session.saveDraft();
    expect(await readByPython(crashed(at), session.fileId!)).toContain('"hal"');
    session.draft = undefined;
    await session.append(reply('half and the rest'));
    expect(await readByPython(crashed(at), session.fileId!)).toBe(encodeEvents(session.events).toString());
  });
});
