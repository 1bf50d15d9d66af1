import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type KeyName, keyNames, variableOf } from '../../src/settings/keys.ts';
import {
  defaultSettings,
  loadSettings,
  loadSettingsWithSources,
  type Overrides,
  type Sourced,
} from '../../src/settings/settings.ts';
import { temporaryFolder } from '../files/facilities.ts';

let directory: string;
let own: string;
let project: string;

beforeEach(() => {
  process.umask(0o077); // as coffer starts
  const folder = temporaryFolder();
  directory = join(folder, 'project');
  mkdirSync(directory);
  own = join(folder, 'settings.json');
  project = join(directory, '.coffer.json');
});

/** Loads the settings from these two files and `overrides`. */
async function load(files: { own?: object; project?: object }, overrides: Overrides = {}): Promise<Sourced> {
  if (files.own) writeFileSync(own, JSON.stringify(files.own));
  if (files.project) writeFileSync(project, JSON.stringify(files.project));
  return loadSettingsWithSources(own, { directory, ...overrides });
}

describe('a setting', () => {
  it('comes from the default if it is set nowhere', async () => {
    const { settings, sources } = await load({});
    expect(settings).toEqual(defaultSettings);
    expect(sources).toEqual(Object.fromEntries(keyNames.map((name) => [name, { source: 'default' }])));
  });

  it('comes from a flag, else the environment, else the project, else the settings file', async () => {
    const files = { own: { model: 'own/m', maxTurns: 2 }, project: { model: 'project/m' } };
    const env = { COFFER_MODEL: 'env/m' };
    const flag = await load(files, { env, options: { model: 'flag/m' } });
    expect([flag.settings.model, flag.sources.model]).toEqual(['flag/m', { source: 'flag', from: '--model' }]);
    const variable = await load(files, { env });
    expect([variable.settings.model, variable.sources.model]).toEqual([
      'env/m',
      { source: 'environment', from: 'COFFER_MODEL' },
    ]);
    const narrowed = await load(files);
    expect([narrowed.settings.model, narrowed.sources.model]).toEqual([
      'project/m',
      { source: 'project', from: project },
    ]);
    const alone = await loadSettingsWithSources(own);
    expect([alone.settings.model, alone.sources.model]).toEqual(['own/m', { source: 'file', from: own }]);
    expect(narrowed.sources.maxTurns).toEqual({ source: 'file', from: own });
    expect(narrowed.sources.maxToolCalls).toEqual({ source: 'default' });
  });

  it('counts as not set if it is empty in a flag or the environment', async () => {
    const around = { env: { COFFER_MODEL: '', COFFER_DATA_DIR: '' }, options: { model: '', dataDir: '' } };
    expect((await load({ own: { model: 'own/m' } }, around)).settings).toEqual({ ...defaultSettings, model: 'own/m' });
  });

  it('for the vault directory comes from a flag, else COFFER_DATA_DIR, else the file', async () => {
    const files = { own: { directory: '/own' } };
    const env = { COFFER_DATA_DIR: 'relative' };
    const flag = await load(files, { env, options: { dataDir: 'other' } });
    expect([flag.settings.directory, flag.sources.directory]).toEqual([
      'other',
      { source: 'flag', from: '--data-dir' },
    ]);
    const variable = await load(files, { env });
    expect(variable.settings.directory).toBe('relative');
    expect((await load(files)).settings.directory).toBe('/own');
  });
});

describe('the environment', () => {
  it('has a variable for every setting that isn’t a list or an object', () => {
    expect(keyNames.filter((name) => variableOf(name) === undefined)).toEqual([
      'providers',
      'permissions.allow',
      'permissions.deny',
    ]);
    expect(keyNames.map(variableOf)).toContain('COFFER_AUTO_COMPACT_AT');
  });

  it.each<[string, string, KeyName, unknown]>([
    ['COFFER_AUTO_SAVE', 'false', 'autoSave', false],
    ['COFFER_AUTO_SAVE', '0', 'autoSave', false],
    ['COFFER_LOCAL_ONLY', '1', 'localOnly', true],
    ['COFFER_LOCAL_ONLY', 'true', 'localOnly', true],
    ['COFFER_MAX_TURNS', '1', 'maxTurns', 1],
    ['COFFER_AUTO_COMPACT_AT', '0.5', 'autoCompactAt', 0.5],
    ['COFFER_AUTO_COMPACT_AT', 'false', 'autoCompactAt', false],
    ['COFFER_AUTO_COMPACT_AT', '0', 'autoCompactAt', false],
    ['COFFER_RETENTION_DAYS', '30', 'retentionDays', 30],
    ['COFFER_MODEL', 'a/1', 'model', 'a/1'],
  ])('%s=%s is read as %s', async (variable, text, name, value) => {
    const { settings, sources } = await load({}, { env: { [variable]: text } });
    expect(settings[name as keyof typeof settings]).toBe(value);
    expect(sources[name]).toEqual({ source: 'environment', from: variable });
  });

  it.each([
    ['COFFER_AUTO_SAVE', 'yes', 'is "yes"; must be true or false'],
    ['COFFER_MAX_TURNS', '0', 'is "0"; must be an integer of at least 1'],
    ['COFFER_MAX_TURNS', '0x10', 'is "0x10"; must be an integer of at least 1'],
    ['COFFER_MAX_TURNS', ' ', 'is " "; must be an integer of at least 1'],
    ['COFFER_MAX_TURNS', '9007199254740993', 'is "9007199254740993"; must be an integer of at least 1'],
    ['COFFER_SAVE_INTERVAL', '10', 'is "10"; must be an integer of at least 1000'],
    ['COFFER_AUTO_COMPACT_AT', 'true', 'is "true"; must be a number from 0.1 to 0.95, or false'],
    ['COFFER_MODEL', 'eliza', 'is "eliza"; must be a model as provider/model'],
    ['COFFER_MODEL', 'sk-abcdefgh12345678', 'is (hidden); must be a model as provider/model'],
  ])('%s=%s is refused', async (variable, text, said) => {
    await expect(load({}, { env: { [variable]: text } })).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: `the environment variable ${variable} ${said}`,
    });
  });
});

describe("a project's file", () => {
  it('may choose a model, send fewer messages and deny more', async () => {
    const mine = { maxMessages: 100, permissions: { allow: ['read', 'write'], deny: ['network'] } };
    const theirs = { model: 'a/b', maxMessages: 50, permissions: { deny: ['write', 'network'] } };
    const { settings, sources } = await load({ own: mine, project: theirs });
    expect(settings).toEqual({
      ...defaultSettings,
      model: 'a/b',
      maxMessages: 50,
      permissions: { allow: ['read', 'write'], deny: ['network', 'write'] },
    });
    expect(sources['permissions.deny']).toEqual({ source: 'project', from: `${own} and ${project}` });
    expect(sources['permissions.allow']).toEqual({ source: 'file', from: own });
  });

  it('never raises the number of messages sent', async () => {
    const { settings, sources } = await load({ own: { maxMessages: 10 }, project: { maxMessages: 11 } });
    expect([settings.maxMessages, sources.maxMessages.source]).toEqual([10, 'file']);
    const byDefault = await load({ own: {}, project: { maxMessages: 1001 } });
    expect([byDefault.settings.maxMessages, byDefault.sources.maxMessages.source]).toEqual([1000, 'default']);
  });

  it('never removes a denial', async () => {
    const own = { permissions: { deny: ['network'] } };
    const { settings, sources } = await load({ own, project: { permissions: { deny: [] } } });
    expect([settings.permissions.deny, sources['permissions.deny'].source]).toEqual([['network'], 'file']);
  });

  const values: Record<string, unknown> = {
    providers: { a: { baseURL: 'http://127.0.0.1:1/v1' } },
    directory: '/tmp',
    autoCompactAt: 0.5,
    'permissions.allow': ['command'],
  };
  const others = keyNames.filter((name) => !['model', 'maxMessages', 'permissions.deny'].includes(name));
  it.each(others)('may not set %s, whatever its value', async (name) => {
    const value = values[name] ?? (typeof defaultSettings[name as 'tools'] === 'boolean' ? true : 5000);
    const [top = '', part] = name.split('.');
    await expect(load({ project: { [top]: part ? { [part]: value } : value } })).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: `${project} sets ${name}, allowed only in your own settings; a project may set model, maxMessages, permissions.deny`,
    });
    await expect(load({ project: { [top]: part ? { [part]: null } : null } })).rejects.toThrow(
      `sets ${name}, allowed only`,
    );
  });

  it('is refused with all keys that it may not set in one line, unknown ones included', async () => {
    const file = { model: 'a/b', directory: '/x', keychain: 'memory', permissions: { allow: [], deny: [], ask: [] } };
    await expect(load({ project: file })).rejects.toThrow(
      `${project} sets directory, keychain, permissions.allow, permissions.ask, allowed only in your own settings;`,
    );
  });

  it.each([
    [{ model: 5 }, 'model is 5; must be a model as provider/model'],
    [{ permissions: [] }, 'permissions is []; must be an object with allow, deny'],
    [[], 'the file is []; must be an object of settings'],
  ])('has its faults reported like any other: %j', async (file, fault) => {
    await expect(load({ project: file })).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: `${project} has a fault`,
      cause: { errors: [{ message: `settings: ${fault}` }] },
    });
  });

  it('is not read through a link out of the directory', async () => {
    writeFileSync(own, '{}');
    symlinkSync(own, project);
    await expect(load({})).rejects.toThrow(/\.coffer\.json is a symbolic link/);
  });

  it('is not looked for without a directory, and may be missing', async () => {
    writeFileSync(project, 'not even JSON');
    expect(await loadSettings(own)).toEqual(defaultSettings);
    expect(await loadSettings(own, { directory: join(directory, 'nowhere') })).toEqual(defaultSettings);
    expect(await loadSettings(own, { directory: project })).toEqual(defaultSettings);
  });
});
