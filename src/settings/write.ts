import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { CofferError } from '../errors.ts';
import { type FileLock, takeLock } from '../files/lock.ts';
import { findKey, removeAt, setAt, splitKey, unknownKey } from './dotted.ts';
import {
  invalidSettings,
  isNestedTooDeeply,
  parseSettings,
  readSettingsBytes,
  readSettingsText,
  tooDeep,
} from './file.ts';
import { isKeyName, isObject } from './keys.ts';
import { findFaults, topKeys } from './schema.ts';
import { looksLikeKey } from './secret.ts';

/** The maximum wait for another process that is changing the settings, in milliseconds. */
const PATIENCE = 2000;

/**
 * Sets a key of the settings file, creating the file if missing. The other keys and their order
 * stay. Throws `USAGE` for an unknown key, `SETTINGS_INVALID` if the settings would have a fault,
 * `VAULT_BUSY` if another process keeps changing them, and `NOT_SAVED`; then the file is unchanged.
 */
export async function setSetting(path: string, key: string, value: unknown): Promise<void> {
  if (isNestedTooDeeply(value))
    throw new CofferError('SETTINGS_INVALID', `${key} is ${tooDeep}`, { advice: 'nothing is changed' });
  refuseSecrets(key, value);
  using _lock = await takeSettings(path);
  const { text, settings } = await readForChange(path);
  const before = findFaults(settings);
  setAt(settings, findKey(settings, key) ?? splitKey(key), value);
  const after = findFaults(settings);
  const [fault] = after.filter((line) => !before.includes(line));
  if (fault !== undefined) throw new CofferError('SETTINGS_INVALID', fault, { advice: 'nothing is changed' });
  if (after.length > 0) throw invalidSettings(path, after);
  await writeSettings(path, formatLike(text, settings));
}

/**
 * Removes a key of the settings file. Returns whether it was set, and the faults of the other keys,
 * which don't prevent removing this one. Throws `USAGE` for a key that is neither set nor a
 * setting, else like {@link setSetting}.
 */
export async function unsetSetting(
  path: string,
  key: string,
): Promise<{ removed: boolean; faults: readonly string[] }> {
  using _lock = await takeSettings(path);
  const { text, settings } = await readForChange(path);
  const found = findKey(settings, key);
  if (found === undefined) {
    if (!isKeyName(key) && !topKeys.includes(key)) splitKey(key);
    return { removed: false, faults: [] };
  }
  removeAt(settings, found);
  await writeSettings(path, formatLike(text, settings));
  return { removed: true, faults: findFaults(settings) };
}

/**
 * Locks the settings for a change, so that two processes can set different keys at the same time.
 * Creates the directory with mode 0700 if missing. Throws `VAULT_BUSY`, `NOT_SAVED`.
 */
export async function takeSettings(path: string): Promise<FileLock> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error) => {
    throw notWritten(directory, error);
  });
  return takeLock(join(directory, 'settings.lock'), PATIENCE);
}

/**
 * Replaces the settings file, with mode 0600. A link is followed, because the user may keep the
 * file elsewhere. Throws `NOT_SAVED`; then the file is unchanged unless the message says otherwise.
 */
export async function writeSettings(path: string, content: string | Uint8Array): Promise<void> {
  const bytes = Buffer.from(content as string);
  const before = await readSettingsBytes(path, 'anybody');
  try {
    if (await replace(path, bytes)) return;
    // The truncated file has replaced the old one, so there is space for the old content.
    if (before !== undefined && (await replace(path, before))) throw cutShort(path, 'the file is unchanged');
  } catch (error) {
    throw notWritten(path, error);
  }
  throw cutShort(path, 'coffer config edit opens the truncated file');
}

/** Returns whether the file was written completely: the package treats a short write as success. */
async function replace(path: string, bytes: Buffer): Promise<boolean> {
  const { default: writeFileAtomic } = await import('write-file-atomic');
  await writeFileAtomic(path, bytes, { mode: 0o600 });
  return (await readSettingsBytes(path, 'anybody'))?.equals(bytes) === true;
}

function cutShort(path: string, now: string): CofferError {
  return new CofferError('NOT_SAVED', `cannot write all of ${path}, the disk may be full: free some space`, {
    advice: now,
  });
}

async function readForChange(path: string): Promise<{ text: string; settings: Record<string, unknown> }> {
  const text = (await readSettingsText(path, 'own')) ?? '{}';
  const settings = await parseSettings(path, text);
  if (isObject(settings)) return { text, settings };
  throw invalidSettings(path, findFaults(settings));
}

/**
 * Throws if a value looks like an API key. The message omits the value, which would otherwise be in
 * the terminal's history twice.
 */
function refuseSecrets(key: string, value: unknown): void {
  if (looksLikeKey(key)) throw unknownKey(key);
  if (typeof value === 'string' && looksLikeKey(value)) {
    throw new CofferError('SETTINGS_INVALID', `the value of ${key} looks like an API key`, {
      advice: "put it into an environment variable, and the variable's name into providers.<name>.apiKeyEnv",
    });
  }
  if (typeof value === 'object' && value !== null)
    for (const inside of Object.values(value)) refuseSecrets(key, inside);
}

/** Formats settings like the existing file: indented like its first line. */
function formatLike(text: string, settings: object): string {
  const indent = /^\{\s*?\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
  return `${JSON.stringify(settings, undefined, indent)}\n`;
}

function notWritten(path: string, cause: unknown): unknown {
  const { errno } = cause as NodeJS.ErrnoException;
  if (errno === undefined) return cause;
  const reason = getSystemErrorMessage(errno);
  return new CofferError('NOT_SAVED', `cannot write ${path}`, { reason, advice: 'nothing is changed', cause });
}
