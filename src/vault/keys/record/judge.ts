import { VaultKey } from '../../../envelope/key.ts';
import { CofferError } from '../../../errors.ts';
import { lookUp } from '../key-home.ts';
import type { Distrust, KeyOptions, Keys } from '../options.ts';
import { certifies, hasRightMac, leadsTo } from './record.ts';
import type { VaultFile } from './shape.ts';

/** How far a record can be trusted. */
export type Verdict =
  | { readonly is: 'genuine' }
  /** It predates the MAC, and nothing contradicts it. */
  | { readonly is: 'old' }
  /** Its key is the one known here, or the first one seen here; nothing else in it is trusted. */
  | ({ readonly is: 'changed' } & Omit<Distrust, 'text'>)
  /** It names a key other than the one known here, without a certificate. */
  | { readonly is: 'other'; readonly error: CofferError };

/** Everything needed to judge a record. */
export type JudgeOptions = Pick<KeyOptions, 'directory' | 'isSealedWith' | 'held' | 'seenCounter'> &
  Parameters<typeof lookUp>[0];

/**
 * Judges a record by the `keys` that it names. `pinned` is the id of the key known for the
 * directory; it must have been read before the record.
 */
export async function judge(
  options: JudgeOptions,
  file: VaultFile,
  keys: Keys,
  pinned: string | undefined,
): Promise<Verdict> {
  const { key, retiring } = keys;
  // The retiring key may be in no keychain: it came from a slot then.
  const held = retiring ? [...options.held, retiring] : options.held;
  if (pinned !== undefined && pinned !== key.id && !(await isCertified({ ...options, held }, file, pinned))) {
    return { is: 'other', error: otherKey(options.directory, key.id, pinned) };
  }
  const maySeal = pinned !== undefined;
  const changed = (what: string, advice?: string): Verdict => {
    return { is: 'changed', error: changedRecord(options.directory, what, advice), maySeal };
  };
  if (file.mac !== undefined && !hasRightMac(file, key)) return changed('its MAC is wrong');
  const seen = options.seenCounter(keys);
  const isOld = file.mac === undefined && file.counter === undefined && file.successors === undefined;
  if (file.mac === undefined && !(isOld && pinned === undefined && seen === undefined)) {
    return changed('its MAC is missing');
  }
  if ((file.counter ?? 0) < (seen ?? 0)) {
    return changed(`an older copy was put back: found change ${file.counter}, last seen ${seen}`);
  }
  const isCertain = retiring === undefined ? file.mac !== undefined : certifies(file, retiring, key.id);
  if (file.retiring !== undefined && !isCertain) {
    const what = `it says that ${key.id} replaces ${file.retiring}, without a certificate`;
    return changed(what, 'if you began to rotate the key, coffer key trust accepts it');
  }
  const ours = [key.id, file.retiring].filter((keyId) => keyId !== undefined);
  if (pinned === undefined && options.isSealedWith(ours) === false) {
    return changed(`no file here is sealed with its key, ${key.id}`, 'coffer key trust accepts it');
  }
  return { is: file.mac === undefined ? 'old' : 'genuine' };
}

/**
 * Tells whether certificates in the record lead from the key known for the directory to the one
 * that the record names.
 */
export function isCertified(
  options: JudgeOptions,
  file: Pick<VaultFile, 'key' | 'successors' | 'backend'>,
  pinned: string,
): Promise<boolean> {
  return leadsTo(file, pinned, file.key, async (keyId) => {
    const held = options.held.find((one) => one.id === keyId);
    const found = held ?? (await lookUp(options, keyId, file.backend));
    return found instanceof VaultKey ? found : undefined;
  });
}

/**
 * Returns the error for a vault.json that something other than coffer changed, with `what` as the
 * reason.
 */
export function changedRecord(directory: string, what: string, advice: string = REPAIR): CofferError {
  const path = `${directory}/vault.json`;
  return new CofferError('UNAUTHENTIC', `${path} is not as coffer wrote it`, { reason: what, advice });
}

function otherKey(directory: string, named: string, pinned: string): CofferError {
  const advice =
    'coffer key trust accepts it, if you put another vault there or rotated the key elsewhere; otherwise run coffer key repair';
  return changedRecord(directory, `it names key ${named}, and this directory is known with key ${pinned}`, advice);
}

/** The reason reported for a missing vault.json. */
export const MISSING = 'it is missing, and sealed files are there';

const REPAIR = 'sessions stay readable; restore it from a backup, or coffer key repair writes a new one';
