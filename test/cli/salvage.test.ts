import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewEvent } from '../../src/session/event/event.ts';
import { sessionsOf } from '../../src/session/open-vault.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  ({ folder, env } = await makeFolder());
});
afterEach(() => rmSync(folder, { recursive: true }));

async function coffer(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const fake = new FakeTerminal();
  const { code } = await runHere(fake, args, env);
  return { code, out: fake.out, err: fake.err };
}

/** A session of six messages, each a segment of its own; gives where its file is. */
async function record(): Promise<string> {
  await using sessions = sessionsOf({ env });
  await using session = sessions.begin({ directory: folder, model: 'demo/echo' });
  for (let index = 0; index < 6; index++) {
    const content = randomBytes(800_000).toString('base64');
    await session.append({ type: 'message', message: { role: 'user', content } } satisfies NewEvent);
  }
  return join(folder, 'vault/sessions', session.fileId ?? '');
}

function flip(path: string, offset: number): Buffer {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 4;
  writeFileSync(path, bytes);
  return bytes;
}

describe('coffer salvage', () => {
  it('says what came back, what is lost and where the damaged file is, and ends with 0', async () => {
    const path = await record();
    const kept = flip(path, 2_000_000);
    const { code, out, err } = await coffer('salvage', '1');
    expect(out).toMatch(/^recovered [45] of 6 messages as session \d{4}-\d\d-\d\d_\d\d-\d\d(-2)?\n$/);
    expect(err).toMatch(/^(event \d is lost|events \d to \d are lost)\nthe damaged file is kept as .*\n$/);
    expect(err).toContain(path);
    expect(code).toBe(0);
    expect(readFileSync(path)).toEqual(kept);
    const exported = await coffer('export', (/session (\S+)/.exec(out) ?? [])[1] ?? '');
    expect(exported.out).toMatch(/> error: events? .* lost: the file was damaged/);
  });

  it('reports no loss if there is none', async () => {
    const path = await record();
    flip(path, 70);
    const { code, out, err } = await coffer('salvage', path);
    expect(out).toMatch(/^recovered 6 messages as session /);
    expect(err).toBe(`the damaged file is kept as ${path}\n`);
    expect(code).toBe(0);
  });

  it('exits with 13 if nothing verifies, with 10 if there is no such file', async () => {
    const path = await record();
    expect(await coffer('salvage', 'nothing')).toMatchObject({ code: 10, out: '' });
    writeFileSync(path, readFileSync(path).fill(1, 28));
    const { code, out, err } = await coffer('salvage', '1');
    expect({ code, out }).toEqual({ code: 13, out: '' });
    expect(err).toMatch(/^coffer: file [0-9a-f]{32}: nothing in it verifies with the key of this vault\n$/);
  });
});
