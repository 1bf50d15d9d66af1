import { VaultKey } from '../../../envelope/key.ts';
import { CofferError } from '../../../errors.ts';
import { sweepTemps } from '../../../files/replace/temporary.ts';
import type { VaultDirectory } from '../../directory.ts';
import { type Seen, seenCounter } from '../../marks/seen.ts';
import { chooseHome, lookUp } from '../key-home.ts';
import type { KeyOptions, Unlocked } from '../options.ts';
import { rowOf, type SlotRow } from '../slots/key-slots.ts';
import { certifies } from './record.ts';
import type { VaultFile } from './shape.ts';
import { findVaultFile, replaceVaultFile } from './vault-file.ts';

/** The result of repairing vault.json. */
export interface Repaired {
  /** Key id. */
  readonly key: string;
  /**
   * The slots that were dropped from vault.json: it can't be told whether they were the vault's.
   * Others may have been removed from it earlier.
   */
  readonly lost: readonly SlotRow[];
  /** Ids of keys that sealed files here need and that the vault doesn't have. */
  readonly otherKeys: readonly string[];
}

/**
 * Writes a new vault.json for the key that is known here or, if none is, that the sealed files
 * name. Keeps no key slot except the one that opened the vault. Durable when it resolves. Throws
 * `UNAUTHENTIC` if no sealed file has that key, `VAULT_BUSY`, `NOT_SAVED`.
 */
export async function repairVaultFile(
  place: VaultDirectory,
  seen: Seen,
  options: KeyOptions,
  unlocked: Unlocked,
): Promise<{ repaired: Repaired; unlocked: Unlocked }> {
  const { key, slot } = unlocked;
  if (options.isSealedWith([key.id]) === false) {
    const advice = 'nothing is changed; coffer key trust accepts the key that vault.json names';
    throw new CofferError('UNAUTHENTIC', `no file in ${place.root} is sealed with key ${key.id}`, { advice });
  }
  const home = await homeOf(options, unlocked);
  return place.locked(async () => {
    const { fields, text } = findVaultFile(place.root);
    if (text !== unlocked.distrust?.text) {
      throw new CofferError('VAULT_BUSY', 'vault.json was changed in the meantime', { advice: 'try again' });
    }
    const slots = slot ? [slot] : [];
    const retiring = certifiedRetiring(unlocked, fields);
    const retiringSlots = retiring && fields.retiring === retiring.id ? fields.retiringSlots : undefined;
    const file: VaultFile = {
      ...{ format: 1, key: key.id, retiring: retiring?.id, retiringSlots },
      ...{ ...home, slots, successors: fields.successors },
    };
    sweepTemps(place.root, (name) => name === 'vault.json');
    const { counter } = await replaceVaultFile(place.root, file, key, seenCounter(place, unlocked));
    await options.known.note(place.root, { key: key.id });
    seen.note({ key, retiring, counter });
    const named = { key: key.id, retiring: retiring?.id };
    const has = [key.id, retiring?.id];
    return {
      unlocked: { key, retiring, ...home, how: 'opened', named, counter },
      repaired: {
        key: key.id,
        lost: (fields.slots ?? []).filter(({ wrapped }) => wrapped !== slot?.wrapped).map(rowOf),
        otherKeys: (options.sealedKeyIds() ?? []).filter((keyId) => !has.includes(keyId)),
      },
    };
  });
}

/** Finds where the key really is: vault.json may be wrong about it. */
async function homeOf(options: KeyOptions, unlocked: Unlocked): Promise<Pick<VaultFile, 'backend' | 'provider'>> {
  const { key, slot, backend, provider } = unlocked;
  if (slot) return { backend: 'passphrase', provider: 'passphrase' };
  const chosen = await chooseHome(options);
  if ('keyring' in chosen && (await lookUp(options, key.id)) instanceof VaultKey) {
    return { backend: chosen.keyring.backend, provider: await chosen.keyring.provider() };
  }
  return { backend, provider };
}

/** A certificate needs no MAC: only the key that it replaces can make it. */
function certifiedRetiring({ key, retiring }: Unlocked, fields: Partial<VaultFile>): VaultKey | undefined {
  return retiring && certifies(fields, retiring, key.id) ? retiring : undefined;
}
