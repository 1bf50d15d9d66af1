import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeHeader, HEADER_LENGTH } from '../../src/envelope/format.ts';
import { isCofferError } from '../../src/errors.ts';
import type { Bus } from '../support/keychain.ts';
import { check, type Found } from './driven.ts';
import { type Home, type Ledger, TRIES } from './strace-saves.ts';

/** The way in which a promise was broken. */
export type Breach =
  | 'lost'
  | 'unreadable'
  | 'half a step'
  | 'stray temp'
  | 'second key'
  | 'not as it was'
  | 'cannot go on'
  | 'not told'
  | 'same file';

/** One broken promise, in words. */
export interface Broken {
  readonly breach: Breach;
  readonly what: string;
}

/** The state of a vault that fresh processes find after a fault. */
export interface Looked {
  readonly broken: readonly Broken[];
  /** Keys in the keychain that no vault.json names: harmless, but litter. */
  readonly orphans: number;
}

/**
 * Opens and resumes a vault in a fresh process, and opens it again in another one: everything
 * acknowledged must be there both times, every other step wholly or not at all, and afterwards no
 * temporary file and no second key. With `isOnce` it is not opened again.
 */
export async function lookAfter(
  home: Home,
  ledger: Ledger,
  { bus, isOnce = false }: { bus?: Bus | undefined; isOnce?: boolean } = {},
): Promise<Looked> {
  const first = await opened(home, { goOn: true });
  const named = keysNamed(home.directory);
  const again = isOnce ? undefined : await opened(home, {});
  const broken = [...stepsIn(first, ledger), ...(again ? stepsIn(again, ledger) : [])];
  if (first.wentOn === undefined || (again && !textsOf(again).includes(WENT_ON))) {
    broken.push({ breach: 'cannot go on', what: first.error?.message ?? 'the step saved after resuming is missing' });
  }
  broken.push(...tempsIn(home.directory));
  const { key, retiring } = vaultFileIn(home.directory);
  const others = [...new Set([...named, retiring])].filter((named) => named !== undefined && named !== key);
  if (others.length > 0) {
    broken.push({ breach: 'second key', what: `vault.json names ${key}, but these exist: ${others.join(', ')}` });
  }
  const kept = (await bus?.items())?.map(({ attributes }) => attributes['account'] ?? '');
  if (kept && key !== undefined && !kept.includes(key)) {
    broken.push({ breach: 'second key', what: `vault.json names ${key}, which the keychain does not have` });
  }
  return { broken, orphans: kept?.filter((account) => account !== key).length ?? 0 };
}

/** Like `lookAfter`, but checks only the content, and does not resume. */
export async function lookAt(home: Home, ledger: Ledger): Promise<readonly Broken[]> {
  return stepsIn(await opened(home, {}), ledger);
}

/** Lists the temporary files in a vault. */
function tempsIn(directory: string): Broken[] {
  return ['', 'sessions', 'quarantine', 'locks']
    .flatMap((folder) => namesIn(join(directory, folder)).map((name) => join(folder, name)))
    .filter((name) => name.endsWith('.tmp'))
    .map((what) => ({ breach: 'stray temp', what }));
}

const WENT_ON = 'went-on';

/**
 * If the keychain takes longer than a command waits for it, as on a busy machine, a user tries
 * again. So does this, a few times.
 */
async function opened({ env }: Home, options: { goOn?: boolean }): Promise<Found> {
  let found: Found = { files: [] };
  for (let attempt = 0; attempt < TRIES; attempt++) {
    try {
      found = await check(env, options);
    } catch (error) {
      return { files: [], error: { code: 'DIED', message: String(error) } };
    }
    if (found.error?.code !== 'KEY_TIMEOUT') break;
  }
  return found;
}

/** Compares the findings of one fresh process with what the parent knows. */
function stepsIn(found: Found, ledger: Ledger): Broken[] {
  const broken: Broken[] = [];
  if (found.error) broken.push({ breach: 'unreadable', what: `the vault: ${found.error.code} ${found.error.message}` });
  for (const { label, kind, texts, error } of found.files) {
    if (error) broken.push({ breach: 'unreadable', what: `${kind} ${label}: ${error}` });
    broken.push(...halves(label, texts, ledger));
    if (kind === 'snapshot') broken.push(...missing(`snapshot ${label}`, texts, ledger));
  }
  return [...broken, ...missing('the vault', textsOf(found), ledger)];
}

/**
 * Returns steps of which one message exists without the other, or in another order than they were
 * made, or that were never made.
 */
function halves(label: string, texts: readonly string[], ledger: Ledger): Broken[] {
  const steps = [...ledger.tried].flatMap((text) => [text, `${text}-reply`]);
  const expected = steps.filter((text) => texts.includes(text) || texts.includes(partnerOf(text)));
  const found = texts.filter((text) => text !== WENT_ON);
  if (found.join() === expected.join()) return [];
  return [{ breach: 'half a step', what: `${label} has ${found.join()}, not ${expected.join()}` }];
}

function partnerOf(text: string): string {
  return text.endsWith('-reply') ? text.slice(0, -'-reply'.length) : `${text}-reply`;
}

function missing(where: string, texts: readonly string[], { acknowledged }: Ledger): Broken[] {
  return [...acknowledged]
    .filter((text) => !texts.includes(text))
    .map((text) => ({ breach: 'lost', what: `${text} is not in ${where}` }));
}

function textsOf({ files }: Found): string[] {
  return files.flatMap(({ texts }) => texts);
}

/** Returns the key ids in the headers of all sealed files, wherever in the vault they are. */
function keysNamed(directory: string): string[] {
  const paths = ['', 'sessions', 'quarantine'].flatMap((folder) =>
    namesIn(join(directory, folder)).map((name) => join(directory, folder, name)),
  );
  const keys = new Set<string>();
  for (const path of paths) {
    if (!lstatSync(path).isFile()) continue;
    try {
      keys.add(decodeHeader(readFileSync(path).subarray(0, HEADER_LENGTH)).keyId);
    } catch (error) {
      if (!isCofferError(error)) throw error; // not a sealed file, or a damaged one, which the process that opened the vault reports
    }
  }
  return [...keys];
}

function vaultFileIn(directory: string): { key?: string; retiring?: string } {
  try {
    return JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8')) as { key?: string; retiring?: string };
  } catch {
    // Missing or damaged: the process that opened the vault has reported it.
    return {};
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // Not every vault has every folder.
    return [];
  }
}
