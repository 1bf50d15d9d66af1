import { findKey, splitKey, valueAt } from '../../../settings/dotted.ts';
import { isKeyName, isObject, type KeyName, keyNames, variableOf } from '../../../settings/keys.ts';
import {
  loadSettingsWithSources,
  type Source,
  type Sourced,
  settingOf,
  settingsPath,
} from '../../../settings/settings.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import type { Shell } from '../../command.ts';

/** Options of a listing. */
export interface ShowOptions {
  /** As JSON on stdout. */
  readonly json?: boolean | undefined;
}

/** One listed setting; `value` is null if it isn't set. */
interface Listed extends Source {
  readonly key: string;
  readonly value: unknown;
}

/** Lists every setting with its value and source. Throws `SETTINGS_INVALID` with the faults. */
export async function listConfig(shell: Shell, options: ShowOptions): Promise<void> {
  const { terminal } = shell;
  const { settings, sources } = await load(shell);
  const rows: Listed[] = keyNames.map((key) => ({ key, value: settingOf(settings, key) ?? null, ...sources[key] }));
  if (options.json === true) {
    terminal.write(`${escapeJson(rows)}\n`);
    return;
  }
  const lines = rows
    .flatMap(flatten)
    .map(({ key, value, ...source }) => [key, inWords(value), describe(source)] as const);
  const width = Math.max(...lines.map(([key]) => key.length));
  for (const [key, value, source] of lines)
    terminal.say(`${key.padEnd(width)}  ${value.padEnd(USUAL_WIDTH)}  ${source}`);
}

/**
 * Shows the value of one setting, or of a part of it. Throws `USAGE` for an unknown key,
 * `SETTINGS_INVALID`.
 */
export async function getConfig(shell: Shell, key: string, options: ShowOptions): Promise<void> {
  const { terminal } = shell;
  const { settings, sources } = await load(shell);
  const way = findKey(settings, key) ?? splitKey(key);
  const value = valueAt(settings, way);
  const source = sourceOf(key, way, sources);
  if (options.json === true) terminal.write(`${escapeJson({ key, value: value ?? null, ...source })}\n`);
  else if (value === undefined) terminal.tell(`${key} is not set`);
  else if (typeof value === 'string') terminal.say(value);
  else terminal.write(`${escapeJson(value)}\n`);
}

/**
 * Sets a key of the settings file. The value is parsed as JSON, or else used as plain text. Throws
 * `USAGE`, `SETTINGS_INVALID`, `VAULT_BUSY`, `NOT_SAVED`; the file is unchanged then.
 */
export async function setConfig(shell: Shell, key: string, text: string): Promise<void> {
  const path = settingsPath(shell.env);
  const { setSetting } = await import('../../../settings/write.ts');
  await setSetting(path, key, readText(text));
  shell.terminal.tell(`${key} is set in ${path}`);
  tellOverridden(shell, key);
}

/** Removes a key of the settings file, so that its default applies. Throws as {@link setConfig}. */
export async function unsetConfig(shell: Shell, key: string): Promise<void> {
  const { terminal } = shell;
  const path = settingsPath(shell.env);
  const { unsetSetting } = await import('../../../settings/write.ts');
  const { removed, faults } = await unsetSetting(path, key);
  terminal.tell(removed ? `${key} is removed from ${path}` : `${key} is not set in ${path}; nothing is changed`);
  for (const fault of faults) terminal.tell(`settings: ${fault}`);
  tellOverridden(shell, key);
}

/** Prints the path of the settings file, whether or not it exists. */
export async function showConfigPath(
  { terminal, env }: Shell,
  { json }: { json?: boolean | undefined },
): Promise<void> {
  const path = settingsPath(env);
  if (json === true) terminal.write(`${escapeJson({ path })}\n`);
  else terminal.say(path);
}

/** Width of the value column. The few longer values push their source to the right. */
const USUAL_WIDTH = 12;

async function load({ env, options }: Shell): Promise<Sourced> {
  return loadSettingsWithSources(settingsPath(env), { env, options, directory: options.path ?? '.' });
}

/** An object is listed part by part, under the keys that `get` and `set` take. */
function flatten(row: Listed): Listed[] {
  if (!isObject(row.value) || Object.keys(row.value).length === 0) return [row];
  return Object.entries(row.value).flatMap(([name, value]) => flatten({ ...row, key: `${row.key}.${name}`, value }));
}

function inWords(value: unknown): string {
  if (value === null) return '(not set)';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function describe({ source, from }: Source): string {
  if (from === undefined) return source;
  return source === 'file' || source === 'project' ? from : `${source} ${from}`;
}

/** `permissions` as a whole comes from several places. */
function sourceOf(key: string, way: readonly string[], sources: Sourced['sources']): Source | undefined {
  const name = isKeyName(key) ? key : (way[0] as KeyName);
  return isKeyName(name) ? sources[name] : undefined;
}

function readText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

/** Warns if an environment variable overrides the setting. */
function tellOverridden({ terminal, env }: Shell, key: string): void {
  const variable = isKeyName(key) ? variableOf(key) : undefined;
  if (variable !== undefined && env[variable]) terminal.tell(`${variable} is set and takes precedence`);
}
