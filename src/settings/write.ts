import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { CofferError } from '../errors.ts';
import { type FileLock, takeLock } from '../files/lock.ts';
import { findKey, isObject, removeAt, setAt, splitKey, unknownKey } from './dotted.ts';
import { invalidSettings, isTooDeep, parseSettings, readSettingsBytes, readSettingsText, tooDeep } from './file.ts';
import { isKeyName } from './keys.ts';
import { findFaults, topKeys } from './schema.ts';
import { looksLikeKey } from './secret.ts';

/** How long another process may be changing the settings, ms. */
const PATIENCE = 2000;

/**
 * Sets a key of the settings file, and makes the file where there is none. The other keys and their order stay. Throws `USAGE` for
 * an unknown key, `SETTINGS_INVALID` where the settings would have a fault, `VAULT_BUSY` where another process keeps changing
 * them, `NOT_SAVED`; the file is as it was then.
 */
export async function setSetting(path: string, key: string, value: unknown): Promise<void> {
  if (isTooDeep(value))
    throw new CofferError('SETTINGS_INVALID', `${key} is ${tooDeep}`, { advice: 'nothing is changed' });
  refuseSecrets(key, value);
  using _turn = await takeSettings(path);
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
 * Removes a key of the settings file; false where it is not there. Gives the faults that the others have: they are no reason to keep
 * this one. Throws `USAGE` for a key that is neither there nor a setting, else as {@link setSetting}.
 */
export async function unsetSetting(
  path: string,
  key: string,
): Promise<{ removed: boolean; faults: readonly string[] }> {
  using _turn = await takeSettings(path);
  const { text, settings } = await readForChange(path);
  const way = findKey(settings, key);
  if (way === undefined) {
    if (!isKeyName(key) && !topKeys.includes(key)) splitKey(key);
    return { removed: false, faults: [] };
  }
  removeAt(settings, way);
  await writeSettings(path, formatLike(text, settings));
  return { removed: true, faults: findFaults(settings) };
}

/**
 * Takes the turn to change the settings: two processes that set different keys at once both get what they want, one after the
 * other. Makes the directory, for this user alone, where there is none. Throws `VAULT_BUSY`, `NOT_SAVED`.
 */
export async function takeSettings(path: string): Promise<FileLock> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error) => {
    throw notWritten(directory, error);
  });
  return takeLock(join(directory, 'settings.lock'), PATIENCE);
}

/**
 * Replaces the settings file, 0600. A link is followed: it is the person's own way to keep the file elsewhere. Throws `NOT_SAVED`;
 * the file is as it was then.
 */
export async function writeSettings(path: string, content: string | Uint8Array): Promise<void> {
  const bytes = Buffer.from(content as string);
  const before = await readSettingsBytes(path, 'anybody');
  try {
    if (await replace(path, bytes)) return;
    // What was cut short stands in its place, and has left room for what was there.
    if (before !== undefined && (await replace(path, before))) throw cutShort(path, 'it is as it was');
  } catch (error) {
    throw notWritten(path, error);
  }
  throw cutShort(path, 'coffer config edit opens what is left of it');
}

/** Tells whether the file has all of it: the package takes a write that was cut short for a whole one. */
async function replace(path: string, bytes: Buffer): Promise<boolean> {
  const { default: writeFileAtomic } = await import('write-file-atomic');
  await writeFileAtomic(path, bytes, { mode: 0o600 });
  return (await readSettingsBytes(path, 'anybody'))?.equals(bytes) === true;
}

function cutShort(path: string, now: string): CofferError {
  return new CofferError('NOT_SAVED', `cannot write all of ${path}, the disk may be full: make room`, {
    advice: now,
  });
}

async function readForChange(path: string): Promise<{ text: string; settings: Record<string, unknown> }> {
  const text = (await readSettingsText(path, 'own')) ?? '{}';
  const settings = await parseSettings(path, text);
  if (isObject(settings)) return { text, settings };
  throw invalidSettings(path, findFaults(settings));
}

/** Says so without the value: it would be in the terminal's history twice. */
function refuseSecrets(key: string, value: unknown): void {
  if (looksLikeKey(key)) throw unknownKey(key);
  if (typeof value === 'string' && looksLikeKey(value)) {
    throw new CofferError('SETTINGS_INVALID', `what ${key} is set to looks like an API key`, {
      advice: 'put it into an environment variable and its name into providers.<name>.apiKeyEnv',
    });
  }
  if (typeof value === 'object' && value !== null)
    for (const inside of Object.values(value)) refuseSecrets(key, inside);
}

/** Written as the person's own file is: indented as its first line is. */
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
