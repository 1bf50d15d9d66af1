import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openReader } from '../../src/files/reader.ts';
import { isSameState, stateOf } from '../../src/files/replace/cache.ts';
import { openVault } from '../../src/session/open-vault.ts';
import { search } from '../../src/session/search/search.ts';
import { VaultDirectory } from '../../src/vault/directory.ts';
import { ListIndex } from '../../src/vault/list/cache.ts';
import { framesOf } from '../../src/vault/search/plan.ts';
import { Vault } from '../../src/vault/vault.ts';
import { fillVast } from '../support/vast.ts';
import type { Answer, Asked, Driver } from './driven.ts';

/*
 * Checks for attacks on the vault's caches, `index` and `texts`: they may cost time, but must never
 * return wrong results.
 */

/** Enough sessions for both caches to be written. */
const SESSIONS = 36;

/** The words of each session that no other session has, by file. */
export type Words = ReadonlyMap<string, string>;

/** Makes a vault without caches, and returns the words of its sessions. */
export async function makeVault(env: NodeJS.ProcessEnv): Promise<Words> {
  const directory = env['COFFER_DATA_DIR']!;
  mkdirSync(join(directory, '..'), { recursive: true });
  const wordOf = (number: number): string => `needle-${number}-of-the-vault`;
  const events = (number: number) =>
    [{ type: 'message', message: { role: 'user', content: `${wordOf(number)} in a haystack` } }] as const;
  const fileIds = await fillVast({ directory, env, sessions: SESSIONS, events });
  return new Map(fileIds.map((fileId, number) => [fileId, wordOf(number)]));
}

/** Makes a process write both caches of its vault. */
export async function build(driver: Driver, directory: string): Promise<void> {
  const isThere = (name: string): boolean => stateOf(join(directory, name)) !== undefined;
  // Files made a moment ago are not cached yet.
  for (let attempt = 0; attempt < 500 && !(isThere('index') && isThere('texts')); attempt++) {
    for (const asked of [{ do: 'open' }, { do: 'search', text: 'nowhere at all' }] as const) {
      const answer = await driver.ask(asked);
      if (!answer?.ok) throw new Error(answer?.error?.message ?? 'the process has ended');
    }
  }
  if (!isThere('index') || !isThere('texts')) throw new Error('no caches were written');
}

/**
 * Compares an answer with the vault. Returns what is wrong with it; a reported error is not wrong.
 */
export function wrongIn(asked: Asked, answer: Answer | undefined, words: Words): string[] {
  if (!answer) return [`${asked.do}: the process has ended`];
  if (!answer.ok) {
    const { code = 'no code', message } = answer.error ?? { message: '' };
    return CODES.includes(code) ? [] : [`${asked.do} was told as ${code}: ${message}`];
  }
  const { rows, found } = answer as Answer & { rows?: [string, string, string?][]; found?: string[] };
  if (rows)
    return differences(
      `the list`,
      [...words.keys()],
      rows.map(([fileId, , code]) => `${fileId}${code ?? ''}`),
    );
  if (!found) return [];
  const having = [...words].filter(([, word]) => word.includes(asked.text ?? '')).map(([fileId]) => fileId);
  return differences(`the search for ${asked.text}`, having, found);
}

const CODES: readonly string[] = ['NOT_SAVED', 'DURABILITY_UNKNOWN', 'VAULT_BUSY', 'FAILED'];

/**
 * Reads the vault in a fresh process, with the caches and without them, and returns what is wrong
 * with them.
 */
export async function lookAtCaches(env: NodeJS.ProcessEnv, words: Words): Promise<string[]> {
  const directory = env['COFFER_DATA_DIR']!;
  const temps = readdirSync(directory).filter((name) => name.endsWith('.tmp'));
  const cached = await told(env, words);
  for (const name of ['index', 'texts']) rmSync(join(directory, name), { force: true });
  const plain = await told(env, words);
  return [
    ...temps.map((name) => `${name} is left behind`),
    ...differences('what is told with the caches', plain, cached),
  ];
}

/** Returns the output of a list and some searches. */
async function told(env: NodeJS.ProcessEnv, words: Words): Promise<string[]> {
  await using sessions = await openVault({
    env,
    directory: env['COFFER_DATA_DIR']!,
    config: `${env['COFFER_DATA_DIR']}-config`,
  });
  const rows = await sessions.list();
  const lines = rows.map(({ number, fileId, label, title, messages, unreadable }) =>
    JSON.stringify([number, fileId, label, title, messages, unreadable?.code]),
  );
  for (const word of [...words.values()].slice(0, 3)) {
    for await (const { row } of search(sessions, rows, word)) lines.push(`${word} is in ${row.fileId}`);
  }
  await sessions.upkeep.settle();
  return lines;
}

/** Returns what the caches still contain of a removed file, or of a word that was redacted. */
export async function leftOf(env: NodeJS.ProcessEnv, fileId: string, word: string): Promise<string[]> {
  const directory = env['COFFER_DATA_DIR']!;
  const place = new VaultDirectory(directory);
  const unlocked = await new Vault({ directory, env, choice: 'fd' }).keys.unlocking.unlock();
  const row = new ListIndex(place).read(unlocked).rows.get(fileId);
  const now = stateOf(place.path(fileId));
  const left = row && (!now || String(row.head.summary).includes(word)) ? ['the list’s cache has it still'] : [];
  if (stateOf(place.texts) === undefined) return left;
  using reader = openReader(place.texts);
  const files = framesOf(reader, unlocked.key).flatMap((frame) => frame.files);
  const isLeft = files.some((file) => file.fileId === fileId && !(now && isSameState(file, now)));
  return isLeft ? [...left, 'the texts’ cache has it still'] : left;
}

function differences(what: string, expected: readonly string[], found: readonly string[]): string[] {
  const missing = expected.filter((one) => !found.includes(one));
  const wrong = found.filter((one) => !expected.includes(one));
  if (missing.length + wrong.length === 0 && expected.length === found.length) return [];
  return [
    `${what}: ${missing.length} missing, ${wrong.length} wrong of ${expected.length}: ${[...missing, ...wrong][0]}`,
  ];
}
