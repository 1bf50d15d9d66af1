import { VaultKey } from '../../envelope/key.ts';
import type { Answer } from '../../keyring/keyring.ts';
import { chooseHome, keepKey, refused } from './key-home.ts';
import { passphraseIn } from './opening.ts';
import type { KeyOptions, Unlocked } from './options.ts';
import type { VaultFile } from './record/shape.ts';
import { createVaultFile } from './record/vault-file.ts';

/**
 * Creates a key for a directory that has neither vault.json nor sealed files, stores it and records
 * it in vault.json. Returns undefined if another process was first: its vault counts. Throws
 * `KEY_*`, `NOT_SAVED`.
 */
export async function firstUse(options: KeyOptions): Promise<Unlocked | undefined> {
  const chosen = await chooseHome(options);
  if ('none' in chosen) return firstUseWithout(options, chosen.none);
  const { keyring } = chosen;
  const state = chosen.probed ?? (await keyring.probe());
  if (state.outcome !== 'READY') throw refused(state);
  if (keyring.backend === 'fd') {
    const given = await keyring.get('');
    if (given.outcome !== 'READY') throw refused(given);
    const key = VaultKey.from(given.secret);
    given.secret.fill(0);
    return settle(options, key, { backend: 'fd', provider: await keyring.provider(), slots: [] });
  }
  const key = options.newKey();
  await keepKey(keyring, key);
  return settle(options, key, { backend: keyring.backend, provider: await keyring.provider(), slots: [] });
}

async function firstUseWithout(options: KeyOptions, none: Answer): Promise<Unlocked | undefined> {
  const path = options.env['COFFER_PASSPHRASE_FILE'];
  const wanted =
    path !== undefined || options.choice === 'passphrase' || (await options.askProtection?.()) === 'passphrase';
  if (!wanted) throw refused(none);
  const passphrase = path ? await passphraseIn(path) : await options.askPassphrase?.({ purpose: 'new', attempt: 1 });
  if (passphrase === undefined) throw refused({ outcome: 'ABSENT', detail: 'no passphrase was given' });
  const key = options.newKey();
  const { wrapForPassphrase } = await import('./slots/slots.ts');
  const slots = [await wrapForPassphrase(key, passphrase)];
  return settle(options, key, { backend: 'passphrase', provider: 'passphrase', slots });
}

async function settle(
  { directory, known, makeDirectory }: KeyOptions,
  key: VaultKey,
  kept: Pick<VaultFile, 'backend' | 'provider' | 'slots'>,
): Promise<Unlocked | undefined> {
  makeDirectory();
  // Otherwise this vault would look like a replacement of one that was here before.
  if (known.find(directory).key !== undefined) await known.note(directory, { key: undefined });
  const record = await createVaultFile(directory, { format: 1, key: key.id, ...kept }, key);
  if (!record) return undefined;
  await known.note(directory, { key: key.id });
  const { backend, provider } = kept;
  return { key, backend, provider, how: 'created', named: { key: key.id }, counter: record.counter };
}
