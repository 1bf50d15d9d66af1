import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultPermissions, ruleForm } from '../../src/chat/permissions.ts';
import type { CofferError } from '../../src/errors.ts';
import { keyNames } from '../../src/settings/keys.ts';
import { defaultSettings, loadSettings, type Settings, settingOf, settingsPath } from '../../src/settings/settings.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coffer-settings-'));
  path = join(folder, 'settings.json');
});
afterEach(() => rm(folder, { recursive: true }));

/** Returns the faults of a file with this text, without their common prefix. */
async function faultsOf(text: string): Promise<string[]> {
  await writeFile(path, text, { mode: 0o600 });
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
  it('returns the defaults if there is no file', async () => {
    expect(await loadSettings(path)).toEqual(defaultSettings);
  });

  it('reads every setting, with or without a byte order mark', async () => {
    const all: Settings = {
      model: 'mine/some/model',
      providers: {
        mine: {
          type: 'anthropic',
          baseURL: 'http://127.0.0.1:1/v1',
          apiKeyEnv: 'KEY',
          contextWindow: 1,
          maxOutputTokens: 2,
          models: { 'some/model.1': { contextWindow: 3, maxOutputTokens: 4 } },
          prices: { 'some/model.1': { input: 0, output: 0.5 } },
        },
      },
      systemPrompt: 'Be brief.',
      agentsFile: 'never',
      detectLocal: false,
      autoSave: false,
      saveInterval: 1000,
      maxMessages: 1,
      maxSessions: 1,
      retentionDays: 1,
      directory: folder,
      autoResume: true,
      localOnly: true,
      maxTurns: 1,
      maxToolCalls: 1,
      autoCompactAt: 0.1,
      keepMessages: 1,
      requestTimeout: 5000,
      compactOnFinish: true,
      tools: false,
      permissions: { allow: ['write', 'read:/etc', 'command:npm test'], deny: ['network'] },
      sandbox: 'required',
      commandTimeout: 1000,
      maxToolOutput: 1024,
    };
    expect(keyNames.map((name) => settingOf(all, name)).filter((value) => value === undefined)).toEqual([]);
    await writeFile(path, `\ufeff${JSON.stringify(all)}`, { mode: 0o600 });
    expect(await loadSettings(path)).toEqual(all);
    await writeFile(path, JSON.stringify({ maxMessages: 2 }), { mode: 0o600 });
    expect(await loadSettings(path)).toEqual({ ...defaultSettings, maxMessages: 2 });
    await writeFile(path, JSON.stringify({ autoCompactAt: false, permissions: { deny: ['command'] } }), {
      mode: 0o600,
    });
    const permissions = { allow: ['read'], deny: ['command'] };
    expect(await loadSettings(path)).toEqual({ ...defaultSettings, autoCompactAt: false, permissions });
  });

  it('has the documented defaults', () => {
    expect(defaultSettings).toEqual({
      providers: {},
      agentsFile: 'ask',
      detectLocal: true,
      autoSave: true,
      saveInterval: 30_000,
      maxMessages: 1000,
      autoResume: false,
      localOnly: false,
      maxTurns: 128,
      maxToolCalls: 200,
      autoCompactAt: 0.75,
      keepMessages: 50,
      requestTimeout: 600_000,
      compactOnFinish: false,
      tools: true,
      sandbox: 'auto',
      permissions: defaultPermissions,
      commandTimeout: 120_000,
      maxToolOutput: 10_485_760,
    });
  });

  it.each([
    ['{"saveInterval": 10}', 'saveInterval is 10; must be an integer of at least 1000'],
    ['{"saveInterval": 1000.5}', 'saveInterval is 1000.5; must be an integer of at least 1000'],
    ['{"maxMessages": 0}', 'maxMessages is 0; must be an integer of at least 1'],
    ['{"maxSessions": "5"}', 'maxSessions is "5"; must be an integer of at least 1'],
    ['{"retentionDays": null}', 'retentionDays is null; must be an integer of at least 1'],
    ['{"autoSave": "yes"}', 'autoSave is "yes"; must be true or false'],
    ['{"detectLocal": 1}', 'detectLocal is 1; must be true or false'],
    ['{"model": "eliza"}', 'model is "eliza"; must be a model as provider/model'],
    ['{"directory": "here"}', 'directory is "here"; must be an absolute path'],
    ['{"providers": []}', 'providers is []; must be an object of providers by name'],
    [
      '{"providers": {"a": 1}}',
      'providers.a is 1; must be an object with type, baseURL, apiKeyEnv, allowInsecure, contextWindow, maxOutputTokens, models, prices',
    ],
    [
      '{"providers": {"a": {"prices": 1}}}',
      'providers.a.prices is 1; must be an object of prices by model, each with input and output',
    ],
    ['{"providers": {"a": {"prices": {"m": 1}}}}', 'providers.a.prices.m is 1; must be an object with input, output'],
    [
      '{"providers": {"a": {"prices": {"m.1": {"input": 1}}}}}',
      'providers.a.prices.m.1.output is missing; must be a number of at least 0',
    ],
    [
      '{"providers": {"a": {"prices": {"m": {"input": -1, "output": 1}}}}}',
      'providers.a.prices.m.input is -1; must be a number of at least 0',
    ],
    [
      '{"providers": {"a": {"prices": {"m": {"input": 1, "output": 1, "cached": 1}}}}}',
      'providers.a.prices.m.cached is unknown; must be one of input, output',
    ],
    ['{"autoResume": 1}', 'autoResume is 1; must be true or false'],
    ['{"localOnly": "no"}', 'localOnly is "no"; must be true or false'],
    ['{"tools": []}', 'tools is []; must be true or false'],
    ['{"compactOnFinish": null}', 'compactOnFinish is null; must be true or false'],
    ['{"maxTurns": 0}', 'maxTurns is 0; must be an integer of at least 1'],
    ['{"maxToolCalls": 1.5}', 'maxToolCalls is 1.5; must be an integer of at least 1'],
    ['{"keepMessages": -1}', 'keepMessages is -1; must be an integer of at least 1'],
    ['{"commandTimeout": 999}', 'commandTimeout is 999; must be an integer of at least 1000'],
    ['{"maxToolOutput": 1023}', 'maxToolOutput is 1023; must be an integer of at least 1024'],
    ['{"autoCompactAt": 75}', 'autoCompactAt is 75; must be a number from 0.1 to 0.95, or false'],
    ['{"autoCompactAt": 0.09}', 'autoCompactAt is 0.09; must be a number from 0.1 to 0.95, or false'],
    ['{"autoCompactAt": true}', 'autoCompactAt is true; must be a number from 0.1 to 0.95, or false'],
    ['{"permissions": ["read"]}', 'permissions is ["read"]; must be an object with allow, deny'],
    ['{"permissions": {"allow": "read"}}', 'permissions.allow is "read"; must be a list of rules'],
    ['{"permissions": {"deny": ["read", "sudo"]}}', `permissions.deny.1 is "sudo"; must be ${ruleForm}`],
    ['{"permissions": {"allow": ["read:here"]}}', `permissions.allow.0 is "read:here"; must be ${ruleForm}`],
    ['{"permissions": {"ask": []}}', 'permissions.ask is unknown; must be one of allow, deny'],
    ['{"__proto__": {}}', '__proto__ is unknown; coffer config list shows all settings'],
    ['{"modle": "a/b"}', 'modle is unknown; did you mean model?'],
    ['{"providers": {"a": {"baseUrl": "x"}}}', 'providers.a.baseUrl is unknown; did you mean providers.a.baseURL?'],
    [
      '{"providers": {"a": {"type": "x"}}}',
      'providers.a.type is "x"; must be "openai-compatible", "anthropic" or "ollama"',
    ],
    [
      '{"providers": {"a": {"baseURL": "ftp://x"}}}',
      'providers.a.baseURL is "ftp://x"; must be an http or https address without a user, a query or a fragment',
    ],
    [
      '{"providers": {"a": {"contextWindow": -1}}}',
      'providers.a.contextWindow is -1; must be an integer of at least 1',
    ],
    ['{"providers": {"a": {"apiKey": "k"}}}', 'providers.a.apiKey is unknown; did you mean providers.a.apiKeyEnv?'],
    ['{"providers": {"a/b": {}}}', 'providers.a/b is not a valid provider name; use letters, digits and . _ - only'],
    ['{"colour": "red"}', 'colour is unknown; coffer config list shows all settings'],
    ['[]', 'the file is []; must be an object of settings'],
    ['{\n "model": "a/b",\n}', 'invalid JSON at line 3, column 1'],
    ['', 'invalid JSON at line 1, column 1'],
  ])('reports the fault of %s', async (text, fault) => {
    expect(await faultsOf(text)).toEqual([fault]);
  });

  it('reports every fault, one line each', async () => {
    const faults = await faultsOf('{"saveInterval": 10, "autoSave": 1, "x": 1, "y": 2}');
    expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual(['autoSave', 'saveInterval', 'x', 'y']);
  });

  it.each([
    ['in place of the name of a variable', '{"providers": {"a": {"apiKeyEnv": "sk-secret 123"}}}'],
    ['in the form of a name', '{"providers": {"a": {"apiKeyEnv": "gsk_secret8a7b6c5d4e3f"}}}'],
    ['under a separate key', '{"apiKey": "sk-secret"}'],
    ['as a key', '{"sk-secret-1234567890": true}'],
    ['as a model', '{"model": "sk-secret-1234567890"}'],
    ['as a password in an address', '{"providers": {"a": {"baseURL": "https://me:secret@host/v1"}}}'],
    ['in the query of an address', '{"providers": {"a": {"baseURL": "https://host/v1?key=secret"}}}'],
  ])('never repeats a secret %s', async (_, text) => {
    const faults = await faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults.join()).not.toContain('secret');
  });

  it('shows no more than the beginning of a long value', async () => {
    const [fault] = await faultsOf(JSON.stringify({ autoSave: 'x'.repeat(500) }));
    expect(fault).toBe(`autoSave is "${'x'.repeat(58)}…; must be true or false`);
  });
});

describe('settingsPath', () => {
  it('prefers COFFER_CONFIG_DIR to the platform’s directory', async () => {
    expect(settingsPath({ COFFER_CONFIG_DIR: folder })).toBe(path);
    expect(settingsPath({})).toMatch(/coffer.*settings\.json$/);
  });
});
