import { basename } from 'node:path';
import { firstLink } from '../../../envelope/chain.ts';
import { encodeHeader } from '../../../envelope/format.ts';
import { VaultKey } from '../../../envelope/key.ts';
import { sealFrame } from '../../../envelope/seal.ts';
import { CofferError, isCofferError } from '../../../errors.ts';
import { replaceFile } from '../../../files/replace/replace.ts';
import { sweepTemps } from '../../../files/replace/temporary.ts';
import type { Keyring } from '../../../keyring/keyring.ts';
import { readPassphraseFile } from '../../../keyring/passphrase.ts';
import type { VaultDirectory } from '../../directory.ts';
import { openExpected, readHeader } from '../../file/open.ts';
import type { RollbackMark } from '../../file/sealed-file.ts';
import { describeHolder, heldSessions } from '../../lease.ts';
import { describeRollback, refuseRolledBack, rollbackOf } from '../../marks/rollback.ts';
import type { Seen } from '../../marks/seen.ts';
import type { OnProgress } from '../../progress.ts';
import { chooseHome, dropKey, type HomeOptions, keepKey, lookUp, refused } from '../key-home.ts';
import type { Unlocked } from '../options.ts';
import type { KnownVaults } from '../record/known.ts';
import { certifies, withSuccessor } from '../record/record.ts';
import type { VaultFile } from '../record/shape.ts';
import { readVaultFile } from '../record/vault-file.ts';
import { rowOf, type SlotRow } from '../slots/key-slots.ts';
import { type Rewrapping, rewrapSlots } from '../slots/rewrap.ts';
import { carrierPaths, headerOf, mayCarry, quarantinedPaths } from './carriers.ts';
import { requireGenuine, writeVaultFile } from './change.ts';

/*
 * A rotation gives the vault a new key and reseals everything with it. Its order makes it safe to
 * be killed at any instant: the new key is stored and read back → vault.json names both keys, with
 * a certificate under the old one → the new key is pinned for the directory → every file is
 * resealed in place → every header names the new key → the old key is dropped → vault.json names
 * one key again. A process that opens the vault in between has both keys, and can continue.
 */

/** The keyrings and the known vaults that a rotation changes. */
type Homes = HomeOptions & { readonly known: KnownVaults };

/** Options of a rotation. */
export interface RotateOptions {
  /** Prompts for what the slots of the new key need; used before anything is changed. */
  readonly asked: Rewrapping;
  /**
   * File ids to delete before everything else is resealed: their traces on the disk then need the
   * old key.
   */
  readonly remove?: readonly string[] | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A file that a rotation could not reseal. */
export interface Remaining {
  readonly path: string;
  readonly error: CofferError;
}

/** The result of a rotation. */
export interface Rotated {
  readonly from: string;
  readonly to: string;
  readonly resealed: number;
  /** Files that still need the old key, which is therefore kept. Empty: the old key is gone. */
  readonly remaining: readonly Remaining[];
  /** Paths of the files in quarantine; all that open are sealed with the new key. */
  readonly quarantined: readonly string[];
  /** The slots of the old key: each still opens copies of the vault that were made earlier. */
  readonly oldSlots: readonly SlotRow[];
  /** @internal */
  readonly keys: RotatingKeys;
}

/** The keys on record, and the counter of vault.json. */
type RotatingKeys = Pick<Unlocked, 'key' | 'retiring' | 'counter' | 'named'>;

/**
 * Replaces the vault's key, and reseals everything with the new one. Needs every lease: throws
 * `SESSION_IN_USE` naming the holders. Nothing is changed if it throws `KEY_*`, `NEWER_VERSION` or
 * `VAULT_BUSY`; after `NOT_SAVED`, {@link finishRotation} continues.
 */
export async function rotate(
  place: VaultDirectory,
  seen: Seen,
  unlocked: Unlocked,
  options: RotateOptions & Homes,
): Promise<Rotated> {
  await place.locked(async () => requireRotatable(place));
  const before = requireGenuine(place, unlocked);
  if (before.retiring !== undefined) {
    const message = `the previous rotation is not finished, and key ${before.retiring} is still needed`;
    throw new CofferError('VAULT_BUSY', message, { advice: 'run coffer key rotate to continue it' });
  }
  const keyring = await keyringOf(before, options);
  const key = VaultKey.generate();
  const slots = await rewrapSlots(before, key, withPassphraseFile(options));
  if (!keyring && !slots.some(({ kind }) => kind === 'passphrase')) {
    throw new CofferError('KEY_ABSENT', 'a vault without a keychain needs a passphrase', {
      advice: 'nothing is changed',
    });
  }
  return place.locked(async () => {
    requireRotatable(place);
    if (JSON.stringify(requireGenuine(place, unlocked)) !== JSON.stringify(before)) {
      throw new CofferError('VAULT_BUSY', 'the key slots were changed in the meantime', {
        advice: 'nothing is changed; try again',
      });
    }
    const { remove = [] } = options;
    for (const fileId of remove) place.requireRemovable(fileId);
    seen.drop(unlocked, remove);
    for (const fileId of remove) place.remove(fileId);
    const successors = withSuccessor(before, unlocked.key, key.id);
    const file = { ...before, key: key.id, retiring: before.key, slots, retiringSlots: before.slots, successors };
    const keys = await record(place, seen, keyring, file, { key, retiring: unlocked.key });
    return reseal(place, seen, keyring, keys, options);
  });
}

/**
 * Continues an interrupted rotation; undefined if there is none. Throws `SESSION_IN_USE` if a
 * session is held, `NOT_SAVED`, `KEY_*`; both keys are kept until it finishes.
 */
export async function finishRotation(
  place: VaultDirectory,
  seen: Seen,
  unlocked: Unlocked,
  options: Pick<RotateOptions, 'onProgress'> & Homes,
): Promise<Rotated | undefined> {
  if (unlocked.distrust || readVaultFile(place.root)?.retiring === undefined) return undefined;
  return place.locked(async () => {
    const file = requireGenuine(place, unlocked);
    if (file.retiring === undefined) return undefined;
    requireRotatable(place);
    return reseal(place, seen, await keyringOf(file, options), unlocked, options);
  });
}

/** Tries a passphrase from a file before asking the user. */
function withPassphraseFile({ asked, env }: RotateOptions & HomeOptions): Rewrapping {
  const path = env['COFFER_PASSPHRASE_FILE'];
  if (!path) return asked;
  const passphrase: Rewrapping['passphrase'] = (slot, attempt) =>
    attempt === 1 ? readPassphraseFile(path) : asked.passphrase(slot, attempt - 1);
  return { ...asked, passphrase };
}

/**
 * Returns the keyring that has the old key and gets the new one; undefined if the vault has only a
 * passphrase.
 */
async function keyringOf(file: VaultFile, options: HomeOptions): Promise<Keyring | undefined> {
  if (file.backend === 'passphrase') return undefined;
  if (file.backend === 'fd') {
    const message = 'the key of this vault comes from a descriptor or credential, where coffer cannot store a new one';
    throw new CofferError('KEY_ABSENT', message, { advice: 'nothing is changed' });
  }
  const chosen = await chooseHome(options, file.backend);
  if ('none' in chosen) throw refused(chosen.none, file.key);
  if (chosen.probed?.outcome === 'TIMEOUT') throw refused(chosen.probed, file.key);
  return chosen.keyring;
}

/**
 * Makes sure that no session is leased, and that every file can be resealed. Called under
 * `locks/vault`, so that no lease can be taken meanwhile.
 */
function requireRotatable(place: VaultDirectory): void {
  const holders = [...heldSessions(place.locks).values()].map(describeHolder);
  if (holders.length > 0) {
    const who = [...new Set(holders)].join(', ');
    throw new CofferError('SESSION_IN_USE', `sessions are in use by ${who}`, {
      advice: 'close them there: a rotation needs all of them',
    });
  }
  for (const path of carrierPaths(place)) {
    const header = headerOf(path);
    if (isCofferError(header, 'NEWER_VERSION')) throw header;
  }
}

/**
 * Stores the new key, then records it in vault.json, in this order: a key on record must be
 * available.
 */
async function record(
  place: VaultDirectory,
  seen: Seen,
  keyring: Keyring | undefined,
  file: VaultFile,
  keys: Required<Pick<Unlocked, 'key' | 'retiring'>>,
): Promise<RotatingKeys> {
  const { key } = keys;
  if (keyring) await keepKey(keyring, key);
  try {
    const { counter, retiring } = await writeVaultFile(place, seen, keys, file);
    return { ...keys, counter, named: { key: key.id, retiring } };
  } catch (error) {
    if (keyring && isCofferError(error, 'NOT_SAVED')) await dropKey(keyring, key.id);
    throw error;
  }
}

async function reseal(
  place: VaultDirectory,
  seen: Seen,
  keyring: Keyring | undefined,
  keys: RotatingKeys,
  { onProgress = () => undefined, known, ...home }: Pick<RotateOptions, 'onProgress'> & Homes,
): Promise<Rotated> {
  const file = requireGenuine(place, keys);
  const from = file.retiring ?? '';
  // Pin the new key before anything is sealed with it: in the end the old one, which opens the
  // certificate, is gone.
  await known.settle(place.root, file.key);
  const marked = seen.read(keys).lines.marks;
  const marks = new Map<string, RollbackMark>();
  const remaining: Remaining[] = [];
  place.sweepTemps();
  // Caches sealed with the old key can be rebuilt, so they are not resealed.
  place.dropCaches();
  for (const directory of [place.root, place.quarantine]) sweepTemps(directory, () => true);
  const paths = carrierPaths(place).filter((path) => path !== place.seen && mayCarry(path, from, keys.retiring));
  for (const [index, path] of paths.entries()) {
    onProgress(index, paths.length);
    try {
      const { fileId, mark } = await resealFile(path, keys, marked.get(basename(path)));
      if (path === place.path(fileId)) marks.set(fileId, mark);
    } catch (error) {
      // A foreign name may be too long for a temporary file.
      const isOwn = !place.conflicting().some((copy) => copy.path === path);
      if (!isCofferError(error) || (isOwn && isCofferError(error, 'NOT_SAVED', 'DURABILITY_UNKNOWN'))) throw error;
      remaining.push({ path, error });
    }
  }
  onProgress(paths.length, paths.length);
  const resealed = paths.length - remaining.length;
  seen.record(keys, marks);
  const oldSlots = (file.retiringSlots ?? []).map(rowOf);
  const quarantined = quarantinedPaths(place);
  remaining.push(...foreignFiles(place, file, remaining));
  const rotated = { from, to: file.key, resealed, remaining, quarantined, oldSlots };
  if (remaining.length > 0) return { ...rotated, keys };
  // In this order: if the process ends in between, vault.json still names the old key, and the next
  // run finds it gone.
  if (keyring) await retire(keyring, file, keys, home);
  const { retiring: _key, retiringSlots: _slots, ...settled } = file;
  const { counter } = await writeVaultFile(place, seen, { key: keys.key }, settled);
  return { ...rotated, keys: { key: keys.key, counter, named: { key: file.key } } };
}

/**
 * Lists the files that are not sealed with the new key at the end, and for which the old key is
 * kept. A file without a coffer header, or a link or a pipe in a session's place, names no key; in
 * quarantine only files that may be sealed with the old key count.
 */
function foreignFiles(
  place: VaultDirectory,
  { key, retiring = '' }: VaultFile,
  known: readonly Remaining[],
): Remaining[] {
  const told = new Set(known.map(({ path }) => path));
  const kept = new Set(quarantinedPaths(place));
  const others = carrierPaths(place).filter((path) => !told.has(path));
  return others.flatMap((path) => {
    const header = headerOf(path);
    if (isCofferError(header)) return header.code === 'UNAUTHENTIC' ? [] : [{ path, error: header }];
    if (header.keyId === key || (kept.has(path) && header.keyId !== retiring)) return [];
    const what = `${basename(path)} is sealed with another key: ${header.keyId}`;
    return [{ path, error: new CofferError('KEY_OTHER', what) }];
  });
}

/**
 * Drops the replaced key, if a certificate says that it was replaced. A key that is gone already
 * needs none. Throws `KEY_*`, `UNAUTHENTIC`.
 */
async function retire(keyring: Keyring, file: VaultFile, keys: RotatingKeys, home: HomeOptions): Promise<void> {
  const from = file.retiring ?? '';
  const old = keys.retiring ?? (await lookUp(home, from, file.backend));
  if (isCofferError(old, 'KEY_NOT_FOUND')) return;
  if (old instanceof CofferError) throw old;
  if (!certifies(file, old, file.key)) {
    throw new CofferError('UNAUTHENTIC', `vault.json has no certificate that ${file.key} replaces ${from}`);
  }
  await dropKey(keyring, from);
}

/**
 * Reseals one file in place with the new key. Leaves out a torn last step, which could not be read
 * any more. Refuses a file that doesn't match its rollback mark: its new generation would hide
 * that.
 */
async function resealFile(
  path: string,
  { key, retiring }: Pick<Unlocked, 'key' | 'retiring'>,
  seen: RollbackMark | undefined,
): Promise<{ fileId: string; mark: RollbackMark }> {
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
