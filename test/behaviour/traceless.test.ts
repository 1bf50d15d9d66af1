import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place, type Start } from '../support/coffer.ts';

beforeEach(requirePosix);

/** Starts that promise to leave no trace, with the exit code of each. */
const traceless: readonly (readonly [string, readonly string[], Start, number])[] = [
  ['a prompt', ['--incognito', '--model', 'demo/echo', '-p', 'hello'], {}, 0],
  ['lines on standard input', ['--model', 'demo/echo', '--incognito'], { input: 'one\n/export\ntwo\n' }, 0],
  ['a usage error', ['--incognito', '-c'], {}, 2],
  ['a completed line', ['complete', '--', 'export', ''], {}, 0],
  ['a completed line that names the option', ['complete', '--', '--incognito', ''], {}, 0],
];

describe.each([
  ['does not exist yet', () => undefined],
  [
    'holds what other programs compiled',
    (folder: string) => {
      mkdirSync(join(folder, 'v1'), { recursive: true });
      writeFileSync(join(folder, 'v1', '0123abcd'), 'of another program');
    },
  ],
])('with NODE_COMPILE_CACHE set to a folder that %s', (_, prepare) => {
  it.each(traceless)('%s leaves no file in it', async (_name, args, start, code) => {
    await using place = await makePlace();
    const cache = join(place.root, 'compiled');
    prepare(cache);
    const before = bytesIn(cache);
    const ended = await run(place, args, { ...start, env: { NODE_COMPILE_CACHE: cache } });
    expect(bytesIn(cache)).toEqual(before);
    expect(ended).toEqual(await run(place, args, start));
    expect(ended.code).toBe(code);
  });

  it('a start without that promise fills it, and an incognito chat then changes nothing in it', async () => {
    await using place = await makePlace();
    const cache = join(place.root, 'compiled');
    prepare(cache);
    const before = bytesIn(cache).size;
    const env = { NODE_COMPILE_CACHE: cache };
    await run(place, ['--model', 'demo/echo', '-p', 'hello'], { env });
    const filled = bytesIn(cache);
    expect(filled.size).toBeGreaterThan(before);
    for (const [, args, start] of traceless) await run(place, args, { ...start, env });
    expect(bytesIn(cache)).toEqual(filled);
  });
});

it('an incognito chat at a terminal leaves no file in NODE_COMPILE_CACHE, however it ends', async () => {
  await using place = await makePlace();
  const cache = join(place.root, 'compiled');
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGKILL', undefined] as const) {
    const env = { NODE_COMPILE_CACHE: cache };
    await using chat = place.terminal(['--incognito', '--model', 'demo/echo'], { env });
    await chat.waitFor(/incognito » /);
    chat.enter('between us');
    await chat.waitFor(/echo: between us\s+incognito » /);
    if (signal === undefined) chat.key('ctrl+d');
    else chat.kill(signal);
    expect(await chat.exit).toEqual(signal === undefined ? { code: 0, signal: null } : { code: null, signal });
  }
  expect(bytesIn(cache).size).toBe(0);
});

async function run(place: Place, args: readonly string[], start: Start) {
  const { code, signal, stdout, stderr } = await place.run(args, start);
  return { code, signal, stdout, stderr };
}

/** Returns the content of the files below a folder, by path; nothing if there is no such folder. */
function bytesIn(folder: string): Map<string, string> {
  const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [];
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(files.map((path) => [path, readFileSync(path, 'hex')]));
}
