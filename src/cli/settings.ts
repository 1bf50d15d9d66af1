import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import type { ProviderSettings } from '../chat/providers.ts';
import { CofferError } from '../errors.ts';

/** What `settings.json` may say. Times are milliseconds where their name does not say days. */
export interface Settings {
  /** `provider/model` for new chats. */
  readonly model?: string | undefined;
  /** Providers beside the built-in ones, or instead of one of the same name. */
  readonly providers: Readonly<Record<string, ProviderSettings>>;
  /** Whether a model server on this machine is looked for and offered. */
  readonly detectLocal: boolean;
  /** False: nothing is saved by itself, `/save` works. */
  readonly autoSave: boolean;
  /** While a reply streams, the part so far is saved this often. */
  readonly saveInterval: number;
  /** How many of the newest messages go to the model. The record on disk is never cut. */
  readonly maxMessages: number;
  /** Retention by count and by age: off unless they are set. */
  readonly maxSessions?: number | undefined;
  readonly retentionDays?: number | undefined;
  /** Where the vault is, unless COFFER_DATA_DIR or --data-dir says. */
  readonly directory?: string | undefined;
}

/** What holds where the file says nothing. */
export const defaultSettings: Settings = {
  providers: {},
  detectLocal: true,
  autoSave: true,
  saveInterval: 30_000,
  maxMessages: 1000,
};

/** Where the settings are: `COFFER_CONFIG_DIR`, else the platform's place for a program's configuration. */
export async function settingsPath(env: NodeJS.ProcessEnv): Promise<string> {
  const directory = env['COFFER_CONFIG_DIR'];
  if (directory) return join(directory, 'settings.json');
  const { default: envPaths } = await import('env-paths');
  return join(envPaths('coffer', { suffix: '' }).config, 'settings.json');
}

/**
 * Reads the settings; where there is no file, the defaults hold. Throws `SETTINGS_INVALID`: its message names the
 * file, its cause is an AggregateError with one line for every fault.
 */
export async function loadSettings(path: string): Promise<Settings> {
  const text = await readText(path);
  if (text === undefined) return defaultSettings;
  const [{ findFaults }, value] = await Promise.all([import('./settings-schema.ts'), parse(path, text)]);
  const faults = findFaults(value);
  if (faults.length > 0) throw invalid(path, faults);
  return { ...defaultSettings, ...(value as Partial<Settings>) };
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).replace(/^\ufeff/, '');
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (errno === undefined) throw error;
    throw new CofferError('SETTINGS_INVALID', `${path} can't be read: ${getSystemErrorMessage(errno)}`, {
      cause: error,
    });
  }
}

async function parse(path: string, text: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { findJsonFault } = await import('./json-fault.ts');
    const fault = findJsonFault(text);
    throw invalid(path, [`not JSON from line ${fault?.line ?? 1}, column ${fault?.column ?? 1}`]);
  }
}

function invalid(path: string, faults: readonly string[]): CofferError {
  const cause = new AggregateError(faults.map((fault) => new Error(`settings: ${fault}`)));
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return new CofferError('SETTINGS_INVALID', `${path} has ${count}`, { cause });
}
