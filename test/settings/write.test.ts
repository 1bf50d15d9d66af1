import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { setSetting, takeSettings, unsetSetting } from '../../src/settings/write.ts';
import { requirePosix, smallDisk, temporaryFolder } from '../files/facilities.ts';

let path: string;

beforeEach(() => {
  process.umask(0o077); // as coffer starts
  path = join(temporaryFolder(), 'a/config/settings.json');
});

/** Writes a settings file with this text. */
function write(text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
}

function read(): string {
  return readFileSync(path, 'utf8');
}

describe('setSetting', () => {
  it('creates a private file and a directory for it', async (context) => {
    requirePosix(context);
    const before = process.umask(0);
    try {
      await setSetting(path, 'maxTurns', 5);
    } finally {
      process.umask(before);
    }
    expect(read()).toBe('{\n  "maxTurns": 5\n}\n');
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    expect((statSync(dirname(path)).mode & 0o777).toString(8)).toBe('700');
    expect(readdirSync(dirname(path)).sort()).toEqual(['settings.json', 'settings.lock']);
  });

  it('keeps the other keys, their order and the indent of the file', async () => {
    write('{\n\t"tools": false,\n\t"model": "a/b",\n\t"autoSave": true\n}');
    await setSetting(path, 'model', 'c/d');
    await setSetting(path, 'maxTurns', 5);
    expect(read()).toBe('{\n\t"tools": false,\n\t"model": "c/d",\n\t"autoSave": true,\n\t"maxTurns": 5\n}\n');
  });

  it.each([
    ['providers.local.baseURL', 'http://127.0.0.1:1/v1', { local: { baseURL: 'http://127.0.0.1:1/v1' } }],
    ['providers.my.host.type', 'anthropic', { 'my.host': { type: 'anthropic' } }],
    ['providers.a', { contextWindow: 1 }, { a: { contextWindow: 1 } }],
    ['providers.a.b', { contextWindow: 1 }, { 'a.b': { contextWindow: 1 } }],
    [
      'providers.a.prices.llama3.1',
      { input: 1, output: 2 },
      { a: { prices: { 'llama3.1': { input: 1, output: 2 } } } },
    ],
    ['providers.a.prices', {}, { a: { prices: {} } }],
    ['providers', { a: {} }, { a: {} }],
  ])('sets %s', async (key, value, providers) => {
    await setSetting(path, key, value);
    expect(JSON.parse(read())).toEqual({ providers });
  });

  it('prefers an existing key to other ways to split it', async () => {
    write(
      JSON.stringify({
        providers: { 'a.type': { contextWindow: 1 }, a: { prices: { 'm.input': { input: 1, output: 2 } } } },
      }),
    );
    await setSetting(path, 'providers.a.type.contextWindow', 2);
    await setSetting(path, 'providers.a.prices.m.input.output', 3);
    expect(JSON.parse(read())).toEqual({
      providers: { 'a.type': { contextWindow: 2 }, a: { prices: { 'm.input': { input: 1, output: 3 } } } },
    });
  });

  it.each([
    ['maxTurn', 5, 'USAGE', 'maxTurn is unknown; did you mean maxTurns?'],
    ['maxturns', 5, 'USAGE', 'maxturns is unknown; did you mean maxTurns?'],
    ['colour', 5, 'USAGE', 'colour is unknown; coffer config list shows all settings'],
    ['', 5, 'USAGE', ' is unknown; coffer config list shows all settings'],
    ['__proto__', {}, 'USAGE', '__proto__ is unknown; coffer config list shows all settings'],
    ['model.name', 'a/b', 'USAGE', 'model has no key name; set it as a whole; coffer config get model shows it'],
    ['permissions.dney', [], 'USAGE', 'permissions.dney is unknown; did you mean permissions.deny?'],
    [
      'permissions.deny.0',
      'read',
      'USAGE',
      'permissions.deny has no key 0; set it as a whole; coffer config get permissions.deny shows it',
    ],
    ['providers.a.baseUrl', 'x', 'USAGE', 'providers.a.baseUrl is unknown; did you mean providers.a.baseURL?'],
    ['providers.', {}, 'USAGE', 'providers. is unknown; use providers.<name>, with letters, digits and . _ - only'],
    ['maxTurns', 0, 'SETTINGS_INVALID', 'maxTurns is 0; must be an integer of at least 1; nothing is changed'],
    [
      'providers.__proto__',
      {},
      'USAGE',
      'providers.__proto__ is unknown; use providers.<name>, with letters, digits and . _ - only',
    ],
    [
      'providers.a b',
      {},
      'SETTINGS_INVALID',
      'providers.a b is not a valid provider name; use letters, digits and . _ - only; nothing is changed',
    ],
    [
      'providers.a.prices.m.input',
      1,
      'SETTINGS_INVALID',
      'providers.a.prices.m.output is missing; must be a number of at least 0; nothing is changed',
    ],
  ])('refuses %s = %j', async (key, value, code, message) => {
    write('{"tools":true}');
    await expect(setSetting(path, key, value)).rejects.toMatchObject({ code, message });
    expect(read()).toBe('{"tools":true}');
  });

  it.each([
    ['providers.a.apiKeyEnv', 'sk-verysecret1234', /^the value of providers.a.apiKeyEnv looks like an API key; put/],
    ['providers.a.apiKeyEnv', 'gsk_verysecret1234', /^the value of providers.a.apiKeyEnv looks like an API key; put/],
    ['model', 'verysecret1234verysecret', /^the value of model looks like an API key; put/],
    ['providers', { a: { apiKeyEnv: 'sk-verysecret1234' } }, /^the value of providers looks like an API key; put/],
    ['permissions.deny', ['sk-verysecret1234'], /^the value of permissions.deny looks like an API key; put/],
    ['sk-verysecret1234', true, /^… is unknown/],
    ['sk-verysecret1234', 'sk-verysecret1234', /^… is unknown/],
    ['providers.a.apiKeyEnv', 'sk-verysecret 1234', /^providers.a.apiKeyEnv is invalid; must be the name/],
  ])('refuses an API key in %s without repeating it', async (key, value, said) => {
    write('{}');
    const error = await setSetting(path, key, value).catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toMatch(said);
    expect((error as Error).message).not.toContain('verysecret');
    expect(read()).toBe('{}');
  });

  it('refuses a deeply nested value', async () => {
    let value: unknown = [];
    for (let level = 0; level < 100_000; level++) value = [value];
    await expect(setSetting(path, 'tools', value)).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: 'tools is nested deeper than 64 levels; nothing is changed',
    });
  });

  it.each(['OPENROUTER_API_KEY', 'key', 'MY_KEY_2', 'hf_token_read'])(
    'takes %s for the name of a variable',
    async (name) => {
      await setSetting(path, 'providers.a.apiKeyEnv', name);
      expect(read()).toContain(name);
    },
  );

  it('accepts long model names', async () => {
    await setSetting(path, 'model', 'anthropic/claude-3-5-sonnet-20241022');
    expect(read()).toContain('20241022');
  });

  it('repairs a fault, and reports another that remains', async () => {
    write('{"maxTurns": 0}');
    await setSetting(path, 'maxTurns', 1);
    expect(JSON.parse(read())).toEqual({ maxTurns: 1 });
    write('{"maxTurns": 0, "tools": 1}');
    await expect(setSetting(path, 'maxTurns', 1)).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: `${path} has a fault`,
      cause: { errors: [{ message: 'settings: tools is 1; must be true or false' }] },
    });
    expect(read()).toBe('{"maxTurns": 0, "tools": 1}');
  });

  it.each(['{', '[]', 'null'])('leaves alone a file that is %s', async (text) => {
    write(text);
    for (const change of [() => setSetting(path, 'maxTurns', 1), () => unsetSetting(path, 'maxTurns')]) {
      await expect(change()).rejects.toMatchObject({ code: 'SETTINGS_INVALID', message: `${path} has a fault` });
      expect(read()).toBe(text);
    }
  });

  it('changes nothing in a file that others can write', async (context) => {
    requirePosix(context);
    write('{}');
    chmodSync(path, 0o666);
    await expect(setSetting(path, 'maxTurns', 1)).rejects.toThrow(/chmod go-w/);
    expect(read()).toBe('{}');
  });

  it('follows a link to where the user keeps the file', async (context) => {
    requirePosix(context);
    const kept = join(temporaryFolder(), 'kept.json');
    writeFileSync(kept, '{}');
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(kept, path);
    await setSetting(path, 'maxTurns', 1);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(JSON.parse(readFileSync(kept, 'utf8'))).toEqual({ maxTurns: 1 });
  });

  it('throws if it can’t write, and leaves the file unchanged', async (context) => {
    const disk = smallDisk(context, '1m');
    path = join(disk.path, 'settings.json');
    writeFileSync(path, '{"tools": true}', { mode: 0o600 });
    await setSetting(path, 'maxTurns', 1);
    const before = read();
    disk.remount('ro');
    await expect(setSetting(path, 'maxTurns', 2)).rejects.toMatchObject({ code: 'NOT_SAVED' });
    expect(read()).toBe(before);
  });
});

describe('a full disk', () => {
  it('leaves the settings unchanged, even if a write is cut short', async (context) => {
    const disk = smallDisk(context, '1m');
    path = join(disk.path, 'settings.json');
    const model = (length: number): string => `a/${'b '.repeat(length)}`;
    await setSetting(path, 'model', model(50_000));
    const before = read();
    const filler = join(disk.path, 'filler');
    const file = openSync(filler, 'w');
    try {
      for (;;) if (writeSync(file, Buffer.alloc(4096)) < 4096) break;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
    closeSync(file);
    await expect(setSetting(path, 'model', model(50_001))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    expect(read()).toBe(before);
    truncateSync(filler, statSync(filler).size - 16_384);
    await expect(setSetting(path, 'model', model(50_001))).rejects.toMatchObject({
      code: 'NOT_SAVED',
      message: `cannot write all of ${path}, the disk may be full: free some space; the file is unchanged`,
    });
    expect(read()).toBe(before);
    rmSync(filler);
    await setSetting(path, 'model', model(50_001));
    expect(read()).not.toBe(before);
  });
});

describe('unsetSetting', () => {
  it('removes a key, and the objects that become empty', async () => {
    write('{"tools":true,"providers":{"a":{"type":"anthropic"}},"maxTurns":1}');
    expect(await unsetSetting(path, 'providers.a.type')).toEqual({ removed: true, faults: [] });
    expect(read()).toBe('{\n  "tools": true,\n  "maxTurns": 1\n}\n');
  });

  it('removes a faulty key, known or not, and returns the remaining faults', async () => {
    write('{"modle":"a/b","maxTurns":0,"providers":{"a":{"baseUrl":"x"}}}');
    expect((await unsetSetting(path, 'modle')).faults).toHaveLength(2);
    expect((await unsetSetting(path, 'providers.a.baseUrl')).faults).toEqual([
      'maxTurns is 0; must be an integer of at least 1',
    ]);
    expect(await unsetSetting(path, 'maxTurns')).toEqual({ removed: true, faults: [] });
    expect(read()).toBe('{}\n');
  });

  it('changes nothing if the key is not set, and creates no file', async () => {
    expect(await unsetSetting(path, 'maxTurns')).toEqual({ removed: false, faults: [] });
    expect(await unsetSetting(path, 'providers.a.type')).toEqual({ removed: false, faults: [] });
    expect(existsSync(path)).toBe(false);
    await expect(unsetSetting(path, 'modle')).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('two processes that change the settings', () => {
  it('at the same time both succeed', async () => {
    const module = JSON.stringify(join(import.meta.dirname, '../../src/settings/write.ts'));
    const keys = ['maxTurns', 'maxToolCalls', 'keepMessages', 'maxMessages'];
    const children = keys.map((key) => {
      const program = `const { setSetting } = await import(${module});
        process.stdin.once('data', async () => {
          for (let value = 1; value <= 10; value++) await setSetting(${JSON.stringify(path)}, '${key}', value);
          process.exit();
        });
        process.stdout.write('ready');`;
      return spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    });
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    const ended = children.map((child) => once(child, 'close'));
    for (const child of children) child.stdin.write('go');
    expect(await Promise.all(ended)).toEqual(keys.map(() => [0, null]));
    expect(JSON.parse(read())).toEqual(Object.fromEntries(keys.map((key) => [key, 10])));
  });

  it('take turns: one that waits too long gets VAULT_BUSY', async () => {
    using _turn = await takeSettings(path);
    await expect(setSetting(path, 'maxTurns', 1)).rejects.toMatchObject({
      code: 'VAULT_BUSY',
      message: expect.stringMatching(
        /settings\.lock has been locked by another process for more than 2000 ms; try again/,
      ),
    });
    expect(existsSync(path)).toBe(false);
  });
});
