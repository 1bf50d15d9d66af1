import { join, resolve } from 'node:path';
import { CofferError } from '../errors.ts';
import { configDirectory } from '../files/paths.ts';
import { invalidSettings, readSettingsFile } from './file.ts';
import { defaultSettings, type KeyName, keyNames, keyOf, type Settings, variableOf, withValues } from './keys.ts';

export { defaultSettings, type KeyName, type Settings } from './keys.ts';

/** The file in which a project may set a few settings for whoever works in its directory. */
const PROJECT_FILE = '.coffer.json';

/** What may say something beside the settings file. */
export interface Surroundings {
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly options?:
    | {
        readonly model?: string | undefined;
        readonly dataDir?: string | undefined;
        readonly system?: string | undefined;
      }
    | undefined;
  /** Where the project's file is looked for; nowhere unless told. */
  readonly directory?: string | undefined;
}

/** Where a value comes from: what says it, and which flag, variable or file that is. */
export interface Source {
  readonly source: 'flag' | 'environment' | 'project' | 'file' | 'default';
  readonly from?: string;
}

/** The settings, and where each comes from. */
export interface Sourced {
  readonly settings: Settings;
  readonly sources: Readonly<Record<KeyName, Source>>;
}

/** Returns the absolute path of the settings file, see {@link configDirectory}. */
export function settingsPath(env: NodeJS.ProcessEnv): string {
  return join(configDirectory(env), 'settings.json');
}

/**
 * Reads the settings: a flag goes before the environment, that before the project's file, that before the settings file, that
 * before the default. Throws `SETTINGS_INVALID`: its message names the file or the variable; where a file has faults, its cause is
 * an AggregateError with one line for each.
 */
export async function loadSettings(path: string, around: Surroundings = {}): Promise<Settings> {
  return (await loadSettingsWithSources(path, around)).settings;
}

/** {@link loadSettings}, and says where each value comes from. Throws as it does. */
export async function loadSettingsWithSources(path: string, around: Surroundings = {}): Promise<Sourced> {
  const layers = new Layers();
  layers.take(await fromFile(path));
  layers.narrow(await fromProject(around.directory));
  layers.take(await fromEnvironment(around.env ?? {}));
  const { model, dataDir, system } = around.options ?? {};
  if (model) layers.take([['model', model, { source: 'flag', from: '--model' }]]);
  if (dataDir) layers.take([['directory', dataDir, { source: 'flag', from: '--data-dir' }]]);
  if (system !== undefined) layers.take([['systemPrompt', system, { source: 'flag', from: '--system' }]]);
  return layers.result();
}

type Said = readonly [KeyName, unknown, Source];

/** What holds so far; each layer goes before those that were there. */
class Layers {
  readonly #values: Map<KeyName, unknown>;
  readonly #sources: Map<KeyName, Source>;

  constructor() {
    this.#values = new Map(keyNames.map((name) => [name, settingOf(defaultSettings, name)]));
    this.#sources = new Map(keyNames.map((name) => [name, { source: 'default' }]));
  }

  take(layer: readonly Said[]): void {
    for (const [name, value, source] of layer) {
      this.#values.set(name, value);
      this.#sources.set(name, source);
    }
  }

  /** Takes of a project's file what narrows: a lower number, more rules. */
  narrow(layer: readonly Said[]): void {
    for (const [name, value, source] of layer) {
      const now = this.#values.get(name);
      const { project } = keyOf(name);
      if (project === 'any value' || (project === 'only lower' && Number(value) < Number(now))) {
        this.take([[name, value, source]]);
      } else if (project === 'only more') this.#add(name, now as readonly string[], value as readonly string[], source);
    }
  }

  result(): Sourced {
    const said = [...this.#values].filter(([, value]) => value !== undefined);
    return {
      settings: withValues(said),
      sources: Object.fromEntries(this.#sources) as Record<KeyName, Source>,
    };
  }

  #add(name: KeyName, now: readonly string[], more: readonly string[], source: Source): void {
    const added = more.filter((rule) => !now.includes(rule));
    if (added.length === 0) return;
    const before = this.#sources.get(name)?.from;
    const from = [...(before === undefined ? [] : [before]), source.from].join(' and ');
    this.take([[name, [...now, ...added], { ...source, from }]]);
  }
}

/** The value of a key. */
export function settingOf(settings: Settings, name: KeyName): unknown {
  if (name === 'permissions.allow') return settings.permissions.allow;
  return name === 'permissions.deny' ? settings.permissions.deny : settings[name];
}

async function fromFile(path: string): Promise<Said[]> {
  const read = await readSettingsFile(path, 'own');
  if (read === undefined) return [];
  const { findFaults } = await import('./schema.ts');
  const faults = findFaults(read.value);
  if (faults.length > 0) throw invalidSettings(path, faults);
  return saidBy(read.value, { source: 'file', from: path });
}

async function fromProject(directory: string | undefined): Promise<Said[]> {
  const found = directory === undefined ? undefined : resolveUnlessGone(directory);
  if (found === undefined) return [];
  const path = join(found, PROJECT_FILE);
  const read = await readSettingsFile(path, 'project');
  if (read === undefined) return [];
  const { findFaults, findForbidden, projectKeys } = await import('./schema.ts');
  const forbidden = findForbidden(read.value);
  if (forbidden.length > 0) {
    throw new CofferError('SETTINGS_INVALID', `${path} sets ${forbidden.join(', ')}, and only your own settings may`, {
      advice: `a project may set ${projectKeys.join(', ')}`,
    });
  }
  const faults = findFaults(read.value);
  if (faults.length > 0) throw invalidSettings(path, faults);
  return saidBy(read.value, { source: 'project', from: path });
}

/** A removed directory has no project file; only commands that need the directory fail there. */
function resolveUnlessGone(directory: string): string | undefined {
  try {
    return resolve(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== 'uv_cwd') throw error;
    return undefined;
  }
}

/** A variable that is empty counts as not set. What COFFER_DATA_DIR says is taken as it is: a path need not be absolute there. */
async function fromEnvironment(env: NodeJS.ProcessEnv): Promise<Said[]> {
  const said: Said[] = [];
  for (const name of keyNames) {
    const variable = variableOf(name);
    const text = variable === undefined ? undefined : env[variable];
    if (variable === undefined || text === undefined || text === '') continue;
    const value = name === 'directory' ? text : await readVariable(name, variable, text);
    said.push([name, value, { source: 'environment', from: variable }]);
  }
  return said;
}

async function readVariable(name: KeyName, variable: string, text: string): Promise<unknown> {
  const { readValue, show } = await import('./schema.ts');
  const read = readValue(name, text);
  if (read !== undefined) return read.value;
  const message = `the environment variable ${variable} is ${show(text)}, may be ${keyOf(name).may}`;
  throw new CofferError('SETTINGS_INVALID', message);
}

/** What a file without faults says. */
function saidBy(value: unknown, source: Source): Said[] {
  const settings = value as Settings;
  const complete = { ...settings, permissions: settings.permissions ?? {} };
  return keyNames.flatMap((name) => {
    const said = settingOf(complete, name);
    return said === undefined ? [] : [[name, said, source] as const];
  });
}
