import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { vi } from 'vitest';
import { isSettled } from '../../src/files/replace/cache.ts';
import type { Row } from '../../src/session/list/row.ts';
import { VaultDirectory } from '../../src/vault/directory.ts';
import type { Unlocked } from '../../src/vault/keys/options.ts';
import { ListIndex } from '../../src/vault/list/cache.ts';
import { Listing } from '../../src/vault/list/listing.ts';
import { Seen } from '../../src/vault/marks/seen.ts';
import { keyOf } from './marks.ts';
import { fillVast } from './vast.ts';
import { type Home, home, reply, user } from './vault.ts';

/** Number of sessions that makes an index worth it. */
export const ENOUGH = 40;

/** Returns the title of the session with a number. */
export function titleOf(number: number): string {
  return `what is the capital of country ${number}`;
}

/** Creates a vault with enough sessions for an index; returns it with their file ids. */
export async function filled(at: Home = home(), sessions: number = ENOUGH): Promise<{ at: Home; fileIds: string[] }> {
  const { directory, keyring } = at;
  const events = (number: number) => [user(titleOf(number)), reply('it has none')];
  const fileIds = await fillVast({ directory, keyring, sessions, events });
  return { at, fileIds };
}

/** Like {@link filled}, with an index. */
export async function indexed(at?: Home, sessions?: number): Promise<{ at: Home; fileIds: string[] }> {
  const made = await filled(at, sessions);
  await settle(made.at);
  await listed(made.at);
  return made;
}

/** Waits until any further change of a vault's files would show in their metadata. */
export async function settle(at: Home): Promise<void> {
  const paths = [...at.files().map((fileId) => at.path(fileId)), join(at.directory, 'seen'), indexOf(at)];
  const found = paths.map((path) => lstatSync(path, { throwIfNoEntry: false })).filter((stats) => stats !== undefined);
  await vi.waitFor(() => {
    if (!found.every((stats) => isSettled(stats, Date.now()))) throw new Error('not settled');
  });
}

/** Returns the list as a new process reads it. */
export async function listed(at: Home): Promise<Row[]> {
  await using sessions = await at.open();
  return await sessions.list();
}

/** Returns the list without using an index; writes none. */
export async function listedAfresh(at: Home): Promise<readonly Row[]> {
  await using sessions = await at.open();
  return (await sessions.upkeep.inspect()).rows;
}

/** Returns the path of the index. */
export function indexOf(at: Home): string {
  return join(at.directory, 'index');
}

/** Returns the keys of a vault. */
async function keysOf(at: Home): Promise<Unlocked> {
  return { key: await keyOf(at), backend: 'memory', provider: 'memory', how: 'opened', named: {} };
}

/** The parts that make a list. */
export interface Parts {
  readonly place: VaultDirectory;
  readonly seen: Seen;
  readonly keys: Unlocked;
  readonly index: ListIndex;
  readonly listing: Listing;
}

/** Returns the parts as a new process creates them. */
export async function partsOf(at: Home): Promise<Parts> {
  const place = new VaultDirectory(at.directory);
  const seen = new Seen(place);
  return { place, seen, keys: await keysOf(at), index: new ListIndex(place), listing: new Listing(place, seen) };
}

/** Returns the content of an index as text; an empty list if no index opens. */
export async function textOf(at: Home): Promise<string> {
  const { index, keys } = await partsOf(at);
  const { rows } = index.read(keys);
  return JSON.stringify([...rows.fileIds()].map((fileId) => [fileId, rows.get(fileId)?.head.summary]));
}

/** Returns the names of the temporary files in a vault's folder. */
export function tempsIn(at: Home): string[] {
  return readdirSync(at.directory).filter((name) => name.endsWith('.tmp'));
}
