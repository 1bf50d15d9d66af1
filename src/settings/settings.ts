import { join, resolve } from 'node:path';
import { CofferError } from '../errors.ts';
import { configDirectory } from '../files/paths.ts';
import { invalidSettings, readSettingsFile } from './file.ts';
import { defaultSettings, type KeyName, keyNames, keyOf, type Settings, variableOf, withValues } from './keys.ts';

export { defaultSettings, type KeyName, type Settings } from './keys.ts';

/** The file in which a project may set a few settings for everyone who works in its directory. */
const PROJECT_FILE = '.coffer.json';

/** The sources of settings other than the settings file. */
export interface Overrides {
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly options?:
    | {
        readonly model?: string | undefined;
        readonly dataDir?: string | undefined;
        readonly system?: string | undefined;
      }
    | undefined;
  /** The directory of the project's file. Default: no project file is read. */
  readonly directory?: string | undefined;
}

/** The source of a value, and the flag, variable or file in which it is set. */
export interface Source {
  readonly source: 'flag' | 'environment' | 'project' | 'file' | 'default';
  readonly from?: string;
}

/** The settings, and the source of each. */
export interface Sourced {
  readonly settings: Settings;
  readonly sources: Readonly<Record<KeyName, Source>>;
}

/** Returns the absolute path of the settings file, see {@link configDirectory}. */
export function settingsPath(env: NodeJS.ProcessEnv): string {
  return join(configDirectory(env), 'settings.json');
}

/**
 * Reads the settings. Precedence: flag, environment, project file, settings file, default. Throws
 * `SETTINGS_INVALID`, which names the file or the variable; if a file has faults, its cause is an
 * AggregateError with one line per fault.
 */
export async function loadSettings(path: string, overrides: Overrides = {}): Promise<Settings> {
  return (await loadSettingsWithSources(path, overrides)).settings;
}

/** Like {@link loadSettings}, but also returns the source of each value. */
export async function loadSettingsWithSources(path: string, overrides: Overrides = {}): Promise<Sourced> {
  const layers = new Layers();
  layers.apply(await fromFile(path));
  layers.restrict(await fromProject(overrides.directory));
  layers.apply(await fromEnvironment(overrides.env ?? {}));
  const { model, dataDir, system } = overrides.options ?? {};
  if (model) layers.apply([['model', model, { source: 'flag', from: '--model' }]]);
  if (dataDir) layers.apply([['directory', dataDir, { source: 'flag', from: '--data-dir' }]]);
  if (system !== undefined) layers.apply([['systemPrompt', system, { source: 'flag', from: '--system' }]]);
  return layers.result();
}

type Entry = readonly [KeyName, unknown, Source];

/** The current values; each layer overrides the previous ones. */
class Layers {
  readonly #values: Map<KeyName, unknown>;
  readonly #sources: Map<KeyName, Source>;

  constructor() {
    this.#values = new Map(keyNames.map((name) => [name, settingOf(defaultSettings, name)]));
    this.#sources = new Map(keyNames.map((name) => [name, { source: 'default' }]));
  }

  apply(layer: readonly Entry[]): void {
    for (const [name, value, source] of layer) {
      this.#values.set(name, value);
      this.#sources.set(name, source);
    }
  }

  /** Applies only what a project's file may set: any model, a lower number, more rules. */
  restrict(layer: readonly Entry[]): void {
    for (const [name, value, source] of layer) {
      const now = this.#values.get(name);
      const { project } = keyOf(name);
      if (project === 'any value' || (project === 'only lower' && Number(value) < Number(now))) {
        this.apply([[name, value, source]]);
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
    this.apply([[name, [...now, ...added], { ...source, from }]]);
  }
}

/** Returns the value of a key. */
export function settingOf(settings: Settings, name: KeyName): unknown {
  if (name === 'permissions.allow') return settings.permissions.allow;
  return name === 'permissions.deny' ? settings.permissions.deny : settings[name];
}

async function fromFile(path: string): Promise<Entry[]> {
  const read = await readSettingsFile(path, 'own');
  if (read === undefined) return [];
  const { findFaults } = await import('./schema.ts');
  const faults = findFaults(read.value);
  if (faults.length > 0) throw invalidSettings(path, faults);
  return valuesIn(read.value, { source: 'file', from: path });
}

async function fromProject(directory: string | undefined): Promise<Entry[]> {
  const found = directory === undefined ? undefined : resolveUnlessGone(directory);
  if (found === undefined) return [];
  const path = join(found, PROJECT_FILE);
  const read = await readSettingsFile(path, 'project');
  if (read === undefined) return [];
  const { findFaults, findForbidden, projectKeys } = await import('./schema.ts');
  const forbidden = findForbidden(read.value);
  if (forbidden.length > 0) {
    throw new CofferError(
      'SETTINGS_INVALID',
      `${path} sets ${forbidden.join(', ')}, allowed only in your own settings`,
      {
        advice: `a project may set ${projectKeys.join(', ')}`,
      },
    );
  }
  const faults = findFaults(read.value);
  if (faults.length > 0) throw invalidSettings(path, faults);
  return valuesIn(read.value, { source: 'project', from: path });
}

/**
 * Returns the absolute path, or undefined if the current directory was removed: it has no project
 * file, and only commands that need the directory fail there.
 */
function resolveUnlessGone(directory: string): string | undefined {
  try {
    return resolve(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== 'uv_cwd') throw error;
    return undefined;
  }
}

/**
 * Reads the environment. An empty variable counts as not set. COFFER_DATA_DIR is used as it is, and
 * may be a relative path.
 */
async function fromEnvironment(env: NodeJS.ProcessEnv): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const name of keyNames) {
    const variable = variableOf(name);
    const text = variable === undefined ? undefined : env[variable];
    if (variable === undefined || text === undefined || text === '') continue;
    const value = name === 'directory' ? text : await readVariable(name, variable, text);
    entries.push([name, value, { source: 'environment', from: variable }]);
  }
  return entries;
}

async function readVariable(name: KeyName, variable: string, text: string): Promise<unknown> {
  const { readValue, show } = await import('./schema.ts');
  const read = readValue(name, text);
  if (read !== undefined) return read.value;
  const message = `the environment variable ${variable} is ${show(text)}; must be ${keyOf(name).may}`;
  throw new CofferError('SETTINGS_INVALID', message);
}

/** Returns the values of a file without faults. */
function valuesIn(value: unknown, source: Source): Entry[] {
  const settings = value as Settings;
  const complete = { ...settings, permissions: settings.permissions ?? {} };
  return keyNames.flatMap((name) => {
    const said = settingOf(complete, name);
    return said === undefined ? [] : [[name, said, source] as const];
  });
}
