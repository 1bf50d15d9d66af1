import { lstatSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { VaultKey } from '../src/envelope/key.ts';
import { MemoryKeyring } from '../src/keyring/memory.ts';
import { openVault } from '../src/session/open-vault.ts';
import type { Sessions } from '../src/session/sessions.ts';
import { fillVast, type Vast } from '../test/support/vast.ts';
import type { Spread } from './measure.ts';
import type { Line } from './part.ts';
import { rawSegments } from './vaults-raw.ts';

/** One megabyte: the unit of sizes here. */
export const MB = 1_000_000;

/** A vault full of sessions, as described to the processes that measure it. */
export interface Filled {
  readonly directory: string;
  /** The vault key in base64; normally a keychain would keep it. */
  readonly secret: string;
  /** The file ids of the sessions, oldest first. */
  readonly fileIds: readonly string[];
}

/** Fills a vault with sessions that have been idle for months; its key is in no keychain. */
export async function fillVault(directory: string, vast: Pick<Vast, 'sessions' | 'events'>): Promise<Filled> {
  const keyring = new MemoryKeyring();
  const fileIds = await fillVast({ directory, keyring, ...vast });
  for (const [number, fileId] of fileIds.entries()) {
    const saved = Date.UTC(2026, 0, 1) / 1000 + number * 60;
    utimesSync(join(directory, 'sessions', fileId), saved, saved);
  }
  const found = await keyring.get(keyIdOf(directory));
  if (found.outcome !== 'READY') throw new Error(`the key of ${directory} is gone: ${found.detail}`);
  return { directory, secret: found.secret.toString('base64'), fileIds };
}

/** Opens a filled vault as a process does that has just unlocked it. */
export async function openFilled({ directory, secret }: Filled): Promise<Sessions> {
  const keyring = new MemoryKeyring();
  await keyring.set(keyIdOf(directory), Buffer.from(secret, 'base64'));
  return openVault({ directory, keyring, env: {} });
}

/** Returns the vault key, for code that opens files without coffer. */
export function keyOf({ secret }: Filled): VaultKey {
  return VaultKey.from(Buffer.from(secret, 'base64'));
}

/** Returns the path of a session's file, by session number. */
export function pathOf({ directory, fileIds }: Filled, number: number): string {
  const fileId = fileIds[number];
  if (fileId === undefined) throw new RangeError(`there are ${fileIds.length} sessions`);
  return join(directory, 'sessions', fileId);
}

/** Returns the total bytes of plaintext in all sessions, and of their files. */
export function bytesOf(filled: Filled): { plain: number; sealed: number } {
  const key = keyOf(filled);
  let plain = 0;
  let sealed = 0;
  for (const number of filled.fileIds.keys()) {
    const path = pathOf(filled, number);
    for (const lines of rawSegments(path, key)) plain += lines.length;
    sealed += lstatSync(path).size;
  }
  return { plain, sealed };
}

/** Returns a line compared with another one by their medians. */
export function lineAgainst(id: string, what: string, value: Spread, floor: Pick<Line, 'what' | 'value'>): Line {
  return { id, what, value, unit: 'ms', against: { what: floor.what, ratio: value.median / floor.value.median } };
}

/** Returns the spread measured under a name. Throws a RangeError if there is none. */
export function spreadAt(spreads: ReadonlyMap<string, Spread>, name: string): Spread {
  const spread = spreads.get(name);
  if (!spread) throw new RangeError(`nothing was measured as ${name}`);
  return spread;
}

function keyIdOf(directory: string): string {
  return JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8')).key;
}
