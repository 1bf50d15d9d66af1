import { basename, join } from 'node:path';
import { firstLink } from '../envelope/chain.ts';
import { encodeHeader, type Header } from '../envelope/format.ts';
import { VaultKey } from '../envelope/key.ts';
import { sealFrame } from '../envelope/seal.ts';
import { CofferError, isCofferError } from '../errors.ts';
import { statsOf } from '../files/reader.ts';
import { replaceFile, sweepTemps } from '../files/replace.ts';
import type { Keyring } from '../keyring/keyring.ts';
import { readPassphraseFile } from '../keyring/passphrase.ts';
import type { VaultDirectory } from './directory.ts';
import { chooseHome, dropKey, type HomeOptions, keepKey, refused } from './key-home.ts';
import { rowOf, type SlotRow } from './key-slots.ts';
import type { Unlocked } from './keys.ts';
import { describeHolder, heldSessions } from './lease.ts';
import { openExpected, readHeader } from './open.ts';
import { keptNames } from './quarantine.ts';
import { type Rewrapping, rewrapSlots } from './rewrap.ts';
import { describeRollback, refuseRolledBack, rollbackOf } from './rollback.ts';
import type { Mark } from './sealed-file.ts';
import type { Seen } from './seen.ts';
import { readVaultFile, replaceVaultFile, type VaultFile } from './vault-file.ts';

/*
 * A rotation gives the vault a new key and seals everything anew. The order is what makes it safe to be killed at any instant:
 * the new key is kept and read back → vault.json names both → every file is resealed in its place → no header names the old key →
 * the old key is dropped → vault.json names one again. Whoever opens the vault in between has both keys, and goes on.
 */

/** How far a rotation has come. */
export type OnProgress = (done: number, total: number) => void;

/** What a rotation needs besides the vault. */
export interface RotateOptions {
  /** Asked for what the slots of the new key need, before anything is changed. */
  readonly asked: Rewrapping;
  /** File ids to remove before everything else is resealed: what they leave on the disk needs the old key. */
  readonly remove?: readonly string[] | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A file that a rotation could not reseal. */
export interface Remaining {
  readonly path: string;
  readonly error: CofferError;
}

/** What a rotation came to. */
export interface Rotated {
  readonly from: string;
  readonly to: string;
  readonly resealed: number;
  /** Files that still need the old key, which is kept because of them. Empty: the old key is gone. */
  readonly remaining: readonly Remaining[];
  /** What is kept in quarantine, all of it sealed with the new key where it opens. */
  readonly quarantined: readonly string[];
  /** The slots of the old key: each opens the copies of the vault that were made before. */
  readonly oldSlots: readonly SlotRow[];
  readonly keys: Pick<Unlocked, 'key' | 'retiring'>;
}

/**
 * Gives the vault a new key, and seals everything with it. Needs every lease: throws `SESSION_IN_USE` naming the holders.
 * Nothing is changed where it throws `KEY_*`, `NEWER_VERSION` or `VAULT_BUSY`; after `NOT_SAVED` {@link finishRotation} goes on.
 */
export async function rotate(
  place: VaultDirectory,
  seen: Seen,
  unlocked: Unlocked,
  options: RotateOptions & HomeOptions,
): Promise<Rotated> {
  await place.locked(async () => requireRotatable(place));
  const before = recordOf(place, unlocked.key);
  if (before.retiring !== undefined) {
    const message = `the rotation before is not finished, and key ${before.retiring} is still needed`;
    throw new CofferError('VAULT_BUSY', message, { advice: 'coffer key rotate goes on with it' });
  }
  const keyring = await keyringOf(before, options);
  const key = VaultKey.generate();
  const slots = await rewrapSlots(before, key, withPassphraseFile(options));
  if (!keyring && !slots.some(({ kind }) => kind === 'passphrase')) {
    throw new CofferError('KEY_ABSENT', 'a vault without a keychain keeps a passphrase', {
      advice: 'nothing is changed',
    });
  }
  return place.locked(async () => {
    requireRotatable(place);
    if (JSON.stringify(recordOf(place, unlocked.key)) !== JSON.stringify(before)) {
      throw new CofferError('VAULT_BUSY', 'the key slots were changed meanwhile', {
        advice: 'nothing is rotated, try again',
      });
    }
    const { remove = [] } = options;
    for (const fileId of remove) place.requireRemovable(fileId);
    seen.drop(unlocked, remove);
    for (const fileId of remove) place.remove(fileId);
    await record(
      place,
      keyring,
      { ...before, key: key.id, retiring: before.key, slots, retiringSlots: before.slots },
      key,
    );
    return reseal(place, seen, keyring, { key, retiring: unlocked.key }, options.onProgress);
  });
}

/**
 * Goes on with a rotation that was interrupted; undefined where there is none. Throws `SESSION_IN_USE` where a session is held,
 * `NOT_SAVED`, `KEY_*`; both keys stay until it comes to its end.
 */
export async function finishRotation(
  place: VaultDirectory,
  seen: Seen,
  unlocked: Unlocked,
  options: Pick<RotateOptions, 'onProgress'> & HomeOptions,
): Promise<Rotated | undefined> {
  if (readVaultFile(place.root)?.retiring === undefined) return undefined;
  return place.locked(async () => {
    const file = recordOf(place, unlocked.key);
    if (file.retiring === undefined) return undefined;
    requireRotatable(place);
    return reseal(place, seen, await keyringOf(file, options), unlocked, options.onProgress);
  });
}

/** A passphrase that a file gives is tried before anybody is asked. */
function withPassphraseFile({ asked, env }: RotateOptions & HomeOptions): Rewrapping {
  const path = env['COFFER_PASSPHRASE_FILE'];
  if (!path) return asked;
  const passphrase: Rewrapping['passphrase'] = (slot, attempt) =>
    attempt === 1 ? readPassphraseFile(path) : asked.passphrase(slot, attempt - 1);
  return { ...asked, passphrase };
}

/** vault.json, which must name the key that we have. */
function recordOf(place: VaultDirectory, key: VaultKey): VaultFile {
  const file = readVaultFile(place.root);
  if (file?.key !== key.id)
    throw new CofferError('VAULT_BUSY', 'vault.json names another key by now', { advice: 'try again' });
  return file;
}

/** Where the new key goes and the old one is; undefined where a passphrase is all there is. */
async function keyringOf(file: VaultFile, options: HomeOptions): Promise<Keyring | undefined> {
  if (file.backend === 'passphrase') return undefined;
  if (file.backend === 'fd') {
    const message =
      'the key of this vault is brought along by a descriptor or credential, where coffer can put no new one';
    throw new CofferError('KEY_ABSENT', message, { advice: 'nothing is changed' });
  }
  const chosen = await chooseHome(options, file.backend);
  if ('none' in chosen) throw refused(chosen.none, file.key);
  if (chosen.probed?.outcome === 'TIMEOUT') throw refused(chosen.probed, file.key);
  return chosen.keyring;
}

/** Under `locks/vault`, where no lease can be taken: nobody must hold one, and every file must be one we can seal again. */
function requireRotatable(place: VaultDirectory): void {
  const holders = [...heldSessions(place.locks).values()].map(describeHolder);
  if (holders.length > 0) {
    const who = [...new Set(holders)].join(', ');
    throw new CofferError('SESSION_IN_USE', `sessions are in use by ${who}`, {
      advice: 'a rotation needs all of them, close them there',
    });
  }
  for (const path of sealedPaths(place)) {
    const header = headerOf(path);
    if (isCofferError(header, 'NEWER_VERSION')) throw header;
  }
}

/** Keeps the new key and puts it on record, in this order: a key on record can be had. */
async function record(
  place: VaultDirectory,
  keyring: Keyring | undefined,
  file: VaultFile,
  key: VaultKey,
): Promise<void> {
  if (keyring) await keepKey(keyring, key);
  try {
    await replaceVaultFile(place.root, file);
  } catch (error) {
    if (keyring && isCofferError(error, 'NOT_SAVED')) await dropKey(keyring, key.id);
    throw error;
  }
}

async function reseal(
  place: VaultDirectory,
  seen: Seen,
  keyring: Keyring | undefined,
  keys: Pick<Unlocked, 'key' | 'retiring'>,
  onProgress: OnProgress = () => undefined,
): Promise<Rotated> {
  const file = recordOf(place, keys.key);
  const from = file.retiring ?? '';
  const known = seen.read(keys).lines.marks;
  const marks = new Map<string, Mark>();
  const remaining: Remaining[] = [];
  place.sweepTemps();
  // What is sealed with the old key and can be made again is not worth resealing.
  place.dropCaches();
  for (const directory of [place.root, place.quarantine]) sweepTemps(directory, () => true);
  const paths = sealedPaths(place).filter((path) => path !== place.seen && mayCarry(path, from));
  for (const [index, path] of paths.entries()) {
    onProgress(index, paths.length);
    try {
      const { fileId, mark } = await resealFile(path, keys, known.get(basename(path)));
      if (path === place.path(fileId)) marks.set(fileId, mark);
    } catch (error) {
      const isOwn = !place.conflicting().some((copy) => copy.path === path); // a name of others may be too long to write beside
      if (!isCofferError(error) || (isOwn && isCofferError(error, 'NOT_SAVED', 'DURABILITY_UNKNOWN'))) throw error;
      remaining.push({ path, error });
    }
  }
  onProgress(paths.length, paths.length);
  const resealed = paths.length - remaining.length;
  seen.record(keys, marks);
  const oldSlots = (file.retiringSlots ?? []).map(rowOf);
  const quarantined = quarantinedPaths(place);
  const rotated = { from, to: file.key, resealed, remaining, quarantined, oldSlots };
  if (remaining.length > 0 || sealedPaths(place).some((path) => mayCarry(path, from))) return { ...rotated, keys };
  // In this order: where the end comes in between, vault.json still names the key, and the next start finds it gone.
  if (keyring) await dropKey(keyring, from);
  const { retiring: _key, retiringSlots: _slots, ...settled } = file;
  await replaceVaultFile(place.root, settled);
  return { ...rotated, keys: { key: keys.key } };
}

/**
 * Seals one file with the new key, in its place. What a crash tore off it could not be read any more: it is left out. A file that is
 * not as it was seen is refused: with its new generation nobody would notice any more.
 */
async function resealFile(
  path: string,
  { key, retiring }: Pick<Unlocked, 'key' | 'retiring'>,
  seen: Mark | undefined,
): Promise<{ fileId: string; mark: Mark }> {
  const { kind, fileId } = readHeader(path, path);
  const opened = openExpected(path, { kind, fileId }, key, retiring);
  const rollback = rollbackOf(seen, opened);
  if (rollback) throw refuseRolledBack(fileId, describeRollback(rollback));
  const generation = opened.header.generation + 1n;
  const header = encodeHeader({ kind, keyId: key.id, fileId, generation });
  const { bytes, next } = sealFrame(key, firstLink(header), opened);
  await replaceFile(path, [header, bytes]);
  return { fileId, mark: { generation, frames: next.index, link: next.link } };
}

/** Every sealed file of the vault, the session saved last behind the others: where there are no links it must stay the youngest. */
function sealedPaths(place: VaultDirectory): string[] {
  const sessions = place.fileIds().map((fileId) => place.path(fileId));
  const saved = new Map(sessions.map((path) => [path, statsOf(path)?.mtimeMs ?? 0]));
  return [
    ...place.conflicting().map(({ path }) => path),
    ...sessions.sort((a, b) => (saved.get(a) ?? 0) - (saved.get(b) ?? 0)),
    ...quarantinedPaths(place),
    ...[place.seen].filter((path) => statsOf(path) !== undefined),
  ];
}

function quarantinedPaths({ quarantine }: VaultDirectory): string[] {
  return keptNames(quarantine).map((name) => join(quarantine, name));
}

/** Tells whether a file's header names the key, or can't be read well enough to say that it does not. */
function mayCarry(path: string, keyId: string): boolean {
  const header = headerOf(path);
  // What has no header of ours names no key.
  return isCofferError(header) ? header.code !== 'UNAUTHENTIC' : header.keyId === keyId;
}

function headerOf(path: string): Header | CofferError {
  try {
    return readHeader(path, path);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error;
  }
}
