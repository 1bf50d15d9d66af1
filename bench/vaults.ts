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

/** What sizes are counted in. */
export const MB = 1_000_000;

/** A vault full of sessions, as it is told to the processes that measure on it. */
export interface Filled {
  readonly directory: string;
  /** The vault key in base64, which a keychain would keep. */
  readonly secret: string;
  /** The files of the sessions, the oldest first. */
  readonly fileIds: readonly string[];
}

/** Fills a vault with sessions that nobody has gone on with for months; its key is in nobody's keychain. */
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

/** Opens a filled vault as a process does that has just come by its key. */
export async function openFilled({ directory, secret }: Filled): Promise<Sessions> {
  const keyring = new MemoryKeyring();
  await keyring.set(keyIdOf(directory), Buffer.from(secret, 'base64'));
  return openVault({ directory, keyring, env: {} });
}

/** The vault key itself, for what opens files without coffer. */
export function keyOf({ secret }: Filled): VaultKey {
  return VaultKey.from(Buffer.from(secret, 'base64'));
}

/** The path of a session's file, by its number. */
export function pathOf({ directory, fileIds }: Filled, number: number): string {
  const fileId = fileIds[number];
  if (fileId === undefined) throw new RangeError(`there are ${fileIds.length} sessions`);
  return join(directory, 'sessions', fileId);
}

/** Bytes of plaintext in all sessions together, and of their files. */
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

/** A line that is compared with another one by their medians. */
export function lineAgainst(id: string, what: string, value: Spread, floor: Pick<Line, 'what' | 'value'>): Line {
  return { id, what, value, unit: 'ms', against: { what: floor.what, ratio: value.median / floor.value.median } };
}

/** What was measured under a name. */
export function spreadAt(spreads: ReadonlyMap<string, Spread>, name: string): Spread {
  const spread = spreads.get(name);
  if (!spread) throw new RangeError(`nothing was measured as ${name}`);
  return spread;
}

function keyIdOf(directory: string): string {
  return JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8')).key;
}
