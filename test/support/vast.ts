import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventsOf, Transcript } from '../../bench/transcript.ts';
import { firstLink } from '../../src/envelope/chain.ts';
import { encodeHeader } from '../../src/envelope/format.ts';
import type { VaultKey } from '../../src/envelope/key.ts';
import { sealFrame } from '../../src/envelope/seal.ts';
import type { MemoryKeyring } from '../../src/keyring/memory.ts';
import { type Event, encodeEvents, type NewEvent } from '../../src/session/event/event.ts';
import { encodeSummary, summarize } from '../../src/session/list/summary.ts';
import { openVault } from '../../src/session/open-vault.ts';
import { emptyState, fold } from '../../src/session/state.ts';
import { VaultDirectory } from '../../src/vault/directory.ts';
import { pack } from '../../src/vault/file/body.ts';
import type { Unlocked } from '../../src/vault/keys/options.ts';
import { Seen } from '../../src/vault/marks/seen.ts';
import { type KeychainChoice, Vault } from '../../src/vault/vault.ts';

/** The location of a vault to fill. */
export interface Where {
  readonly directory: string;
  /** The keyring with its key. Default: the one that `env` selects. */
  readonly keyring?: MemoryKeyring | undefined;
  /** Environment variables. Default: none. */
  readonly env?: NodeJS.ProcessEnv;
}

/** The sessions to fill it with. */
export interface Share {
  /** The number of the first session. Default: 0. */
  readonly first?: number;
  readonly sessions: number;
  /**
   * Returns the events to append to the session with this number; ids, times and `begin` are added.
   */
  readonly events: (number: number) => readonly NewEvent[];
  /** Returns the directory in which it was begun. Default: one of twenty. */
  readonly projectOf?: (number: number) => string;
}

const START = Date.UTC(2026, 0, 1);

/** A vault to fill, and its sessions. */
export type Vast = Where & Share;

/** Rollback marks, by file id. */
export type Marks = Map<string, { generation: bigint; frames: number; link: Buffer }>;

/**
 * Fills a vault with sessions as if each had been begun and closed, one minute after another,
 * except that none is flushed to disk: a thousand take less than a second. Records their rollback
 * marks in `seen`. Returns the file ids, oldest first.
 */
export async function fillVast({ directory, keyring, env, ...share }: Vast): Promise<string[]> {
  const vault = await emptyVault({ directory, keyring, env: env ?? {} });
  const marks = sealShare(vault, share);
  new Seen(vault.place).record(vault.unlocked, marks);
  return [...marks.keys()];
}

/**
 * Writes sessions as {@link fillVast} does, and returns the rollback marks still to be recorded.
 */
export function sealShare({ unlocked, place }: Emptied, share: Share): Marks {
  const { first = 0, sessions, events, projectOf = (number) => `/work/project-${number % 20}` } = share;
  const marks: Marks = new Map();
  for (let number = first; number < first + sessions; number++) {
    const ts = START + number * 60_000;
    const { fileId, link } = seal(unlocked.key, place, { number, ts, directory: projectOf(number) }, events(number));
    marks.set(fileId, { generation: 1n, frames: 1, link });
  }
  return marks;
}

/** Returns the id of the session with a number. */
export function idOf(number: number): string {
  return new Date(START + number * 60_000).toISOString().slice(0, 16).replace('T', '_').replace(':', '-');
}

/** A vault's key and its directory. */
export interface Emptied {
  readonly unlocked: Unlocked;
  readonly place: VaultDirectory;
}

/**
 * Creates a vault for sealed files that are written directly, and returns its key and directory.
 */
export async function emptyVault({ directory, keyring, env = {} }: Where): Promise<Emptied> {
  const choice = (env['COFFER_KEYCHAIN'] ?? 'auto') as KeychainChoice;
  await (await openVault({ directory, keyring, env })).close();
  const unlocked = await new Vault({ directory, keyring, env, choice }).keys.unlocking.unlock();
  const place = new VaultDirectory(directory);
  mkdirSync(place.sessions, { recursive: true, mode: 0o700 });
  return { unlocked, place };
}

/** Returns a generator of realistic sessions with about `bytes` of plaintext each. */
export function realistic(bytes: number, seed = 1): (number: number) => NewEvent[] {
  return (number) => eventsOf(new Transcript(seed + number), bytes);
}

function seal(
  key: VaultKey,
  place: VaultDirectory,
  { number, ts, directory }: { number: number; ts: number; directory: string },
  recorded: readonly NewEvent[],
): { fileId: string; link: Buffer } {
  const uuid = uuidOf(number);
  const all: NewEvent[] = [
    { type: 'begin', uuid, directory, branch: 'main' },
    { type: 'model', model: 'demo/echo' },
    ...recorded,
    { type: 'status', status: 'completed' },
  ];
  const events = all.map((event, at): Event => ({ id: at + 1, ts: ts + at, ...event }));
  const named = { kind: 'session', id: idOf(number), uuid, name: undefined } as const;
  const summary = encodeSummary(summarize(fold(emptyState, events), named));
  const fileId = randomBytes(16).toString('hex');
  const header = encodeHeader({ kind: 'session', keyId: key.id, fileId, generation: 1n });
  const { bytes, next } = sealFrame(key, firstLink(header), { summary, segments: pack([encodeEvents(events)]) });
  writeFileSync(join(place.sessions, fileId), Buffer.concat([header, bytes]), { mode: 0o600 });
  return { fileId, link: next.link };
}

/** Returns a UUID in the form of version 4, always the same for a number. */
function uuidOf(number: number): string {
  const hex = createHash('sha256').update(`session ${number}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
