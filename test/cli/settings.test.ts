import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultSettings, loadSettings, settingsPath } from '../../src/cli/settings.ts';
import type { CofferError } from '../../src/errors.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coffer-settings-'));
  path = join(folder, 'settings.json');
});
afterEach(() => rm(folder, { recursive: true }));

/** The faults of a file with this text, without the part that all of them begin with. */
async function faultsOf(text: string): Promise<string[]> {
  await writeFile(path, text);
  const error = await loadSettings(path).then(
    () => undefined,
    (thrown: CofferError) => thrown,
  );
  expect(error?.code).toBe('SETTINGS_INVALID');
  expect(error?.message).toContain(path);
  const { errors } = (error as CofferError).cause as AggregateError;
  expect(error?.message).toMatch(errors.length === 1 ? /has a fault$/ : new RegExp(`has ${errors.length} faults$`));
  return errors.map((fault: Error) => {
    expect(fault.message).toMatch(/^settings: /);
    return fault.message.slice('settings: '.length);
  });
}

describe('loadSettings', () => {
  it('gives the defaults where there is no file', async () => {
    expect(await loadSettings(path)).toEqual(defaultSettings);
  });

  it('reads every setting, a byte order mark before them or not', async () => {
    const all = {
      model: 'mine/some/model',
      providers: { mine: { type: 'anthropic', baseURL: 'http://127.0.0.1:1/v1', apiKeyEnv: 'KEY', contextWindow: 1 } },
      detectLocal: false,
      autoSave: false,
      saveInterval: 1000,
      maxMessages: 1,
      maxSessions: 1,
      retentionDays: 1,
      directory: folder,
    };
    await writeFile(path, `\ufeff${JSON.stringify(all)}`);
    expect(await loadSettings(path)).toEqual(all);
    await writeFile(path, JSON.stringify({ maxMessages: 2 }));
    expect(await loadSettings(path)).toEqual({ ...defaultSettings, maxMessages: 2 });
  });

  it.each([
    ['{"saveInterval": 10}', 'saveInterval is 10, may be a whole number of at least 1000'],
    ['{"saveInterval": 1000.5}', 'saveInterval is 1000.5, may be a whole number of at least 1000'],
    ['{"maxMessages": 0}', 'maxMessages is 0, may be a whole number of at least 1'],
    ['{"maxSessions": "5"}', 'maxSessions is "5", may be a whole number of at least 1'],
    ['{"retentionDays": null}', 'retentionDays is null, may be a whole number of at least 1'],
    ['{"autoSave": "yes"}', 'autoSave is "yes", may be true or false'],
    ['{"detectLocal": 1}', 'detectLocal is 1, may be true or false'],
    ['{"model": "eliza"}', 'model is "eliza", may be a model as provider/model'],
    ['{"directory": "here"}', 'directory is "here", may be an absolute path'],
    ['{"providers": []}', 'providers is [], may be an object of providers by name'],
    ['{"providers": {"a": 1}}', 'providers.a is 1, may be an object with type, baseURL, apiKeyEnv, contextWindow'],
    ['{"providers": {"a": {"type": "x"}}}', 'providers.a.type is "x", may be "openai-compatible" or "anthropic"'],
    [
      '{"providers": {"a": {"baseURL": "ftp://x"}}}',
      'providers.a.baseURL is "ftp://x", may be an http or https address without a user, a query or a fragment',
    ],
    [
      '{"providers": {"a": {"contextWindow": -1}}}',
      'providers.a.contextWindow is -1, may be a whole number of at least 1',
    ],
    [
      '{"providers": {"a": {"apiKey": "k"}}}',
      'providers.a.apiKey is unknown, may be type, baseURL, apiKeyEnv, contextWindow',
    ],
    ['{"providers": {"a/b": {}}}', 'providers.a/b names a provider, may have letters, digits and . _ - only'],
    [
      '{"colour": "red"}',
      'colour is unknown, may be model, providers, detectLocal, autoSave, saveInterval, maxMessages, maxSessions, retentionDays, directory',
    ],
    ['[]', 'the file is [], may be an object with settings'],
    ['{\n "model": "a/b",\n}', 'not JSON from line 3, column 1'],
    ['', 'not JSON from line 1, column 1'],
  ])('tells the fault of %s', async (text, fault) => {
    expect(await faultsOf(text)).toEqual([fault]);
  });

  it('tells every fault, one line each', async () => {
    const faults = await faultsOf('{"saveInterval": 10, "autoSave": 1, "x": 1, "y": 2}');
    expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual(['autoSave', 'saveInterval', 'x', 'y']);
  });

  it('never repeats what stands where the name of a key belongs', async () => {
    const [fault] = await faultsOf('{"providers": {"a": {"apiKeyEnv": "sk-secret 123"}}}');
    expect(fault).toBe('providers.a.apiKeyEnv is something else, may be the name of an environment variable');
    expect((await faultsOf('{"apiKey": "sk-secret"}')).join()).not.toContain('sk-secret');
  });

  it('shows no more than the beginning of a long value', async () => {
    const [fault] = await faultsOf(JSON.stringify({ autoSave: 'x'.repeat(500) }));
    expect(fault).toBe(`autoSave is "${'x'.repeat(58)}…, may be true or false`);
  });

  it('says why a file can not be read', async () => {
    await expect(loadSettings(folder)).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: `${folder} can't be read: illegal operation on a directory`,
    });
  });
});

describe('settingsPath', () => {
  it('takes COFFER_CONFIG_DIR before the place of the platform', async () => {
    expect(await settingsPath({ COFFER_CONFIG_DIR: folder })).toBe(path);
    expect(await settingsPath({})).toMatch(/coffer.*settings\.json$/);
  });
});
