import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventsOf, Transcript } from '../../bench/transcript.ts';
import { firstLink } from '../../src/envelope/chain.ts';
import { encodeHeader } from '../../src/envelope/format.ts';
import type { VaultKey } from '../../src/envelope/key.ts';
import { sealFrame } from '../../src/envelope/seal.ts';
import type { MemoryKeyring } from '../../src/keyring/memory.ts';
import { type Event, encodeEvents, type NewEvent } from '../../src/session/event.ts';
import { openVault } from '../../src/session/open-vault.ts';
import { emptyState, fold } from '../../src/session/state.ts';
import { encodeSummary, summarize } from '../../src/session/summary.ts';
import { pack } from '../../src/vault/body.ts';
import { VaultDirectory } from '../../src/vault/directory.ts';
import type { Unlocked } from '../../src/vault/keys.ts';
import { Seen } from '../../src/vault/seen.ts';
import { type KeychainChoice, Vault } from '../../src/vault/vault.ts';

/** A vault to fill. */
export interface Vast {
  readonly directory: string;
  /** Where its key is; without it what `env` says. */
  readonly keyring?: MemoryKeyring | undefined;
  /** Default: nothing. */
  readonly env?: NodeJS.ProcessEnv;
  readonly sessions: number;
  /** The events of the session with this number, as they are appended; ids, times and `begin` are added. */
  readonly events: (number: number) => readonly NewEvent[];
}

/**
 * Fills a vault with sessions that are as if each had been begun and closed, one minute after another, but none of them flushed to the disk:
 * a thousand take less than a second. Files get their marks in `seen`. Gives the file ids, the oldest first.
 */
export async function fillVast({ sessions, events, ...where }: Vast): Promise<string[]> {
  const { unlocked, place } = await emptyVault(where);
  const marks = new Map<string, { generation: bigint; frames: number; link: Buffer }>();
  const start = Date.UTC(2026, 0, 1);
  for (let number = 0; number < sessions; number++) {
    const { fileId, link } = seal(unlocked.key, place, number, start + number * 60_000, events(number));
    marks.set(fileId, { generation: 1n, frames: 1, link });
  }
  new Seen(place).record(unlocked, marks);
  return [...marks.keys()];
}

/** Makes a vault for sealed files that are put there by hand, and gives its key and its places. */
export async function emptyVault({
  directory,
  keyring,
  env = {},
}: Omit<Vast, 'sessions' | 'events'>): Promise<{ unlocked: Unlocked; place: VaultDirectory }> {
  const choice = (env['COFFER_KEYCHAIN'] ?? 'auto') as KeychainChoice;
  await (await openVault({ directory, keyring, env })).close();
  const unlocked = await new Vault({ directory, keyring, env, choice }).unlock();
  const place = new VaultDirectory(directory);
  mkdirSync(place.sessions, { recursive: true, mode: 0o700 });
  return { unlocked, place };
}

/** Realistic sessions of so many bytes of plaintext each. */
export function realistic(bytes: number, seed = 1): (number: number) => NewEvent[] {
  return (number) => eventsOf(new Transcript(seed + number), bytes);
}

function seal(
  key: VaultKey,
  place: VaultDirectory,
  number: number,
  ts: number,
  recorded: readonly NewEvent[],
): { fileId: string; link: Buffer } {
  const uuid = uuidOf(number);
  const all: NewEvent[] = [
    { type: 'begin', uuid, directory: `/work/project-${number % 20}`, branch: 'main' },
    { type: 'model', model: 'demo/echo' },
    ...recorded,
    { type: 'status', status: 'completed' },
  ];
  const events = all.map((event, at): Event => ({ id: at + 1, ts: ts + at, ...event }));
  const id = `${new Date(ts).toISOString().slice(0, 16).replace('T', '_').replace(':', '-')}`;
  const summary = encodeSummary(summarize(fold(emptyState, events), { kind: 'session', id, uuid, name: undefined }));
  const fileId = randomBytes(16).toString('hex');
  const header = encodeHeader({ kind: 'session', keyId: key.id, fileId, generation: 1n });
  const { bytes, next } = sealFrame(key, firstLink(header), { summary, segments: pack([encodeEvents(events)]) });
  writeFileSync(join(place.sessions, fileId), Buffer.concat([header, bytes]), { mode: 0o600 });
  return { fileId, link: next.link };
}

/** Version 4 by its form, and always the same. */
function uuidOf(number: number): string {
  const hex = createHash('sha256').update(`session ${number}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
