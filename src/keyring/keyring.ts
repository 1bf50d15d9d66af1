import { CofferError } from '../errors.ts';
import { NATIVE, type NativeBackend, NativeKeyring } from './fallback.ts';
import { FdKeyring } from './fd.ts';
import { KeytarKeyring } from './keytar.ts';
import type { Answer, Backend, Keyring, LookUp, Refusal } from './outcomes.ts';
import { patienceFor } from './patience.ts';
import type { Waits } from './waits.ts';

export type { Answer, Backend, Keyring, LookUp, Outcome } from './outcomes.ts';
export type { KeyWait } from './waits.ts';

/** A value of COFFER_KEYCHAIN: `auto` lets coffer choose, any other value forces that backend. */
export type KeychainChoice = 'auto' | Backend;

/** All values of COFFER_KEYCHAIN. */
export const KEYCHAIN_CHOICES: readonly KeychainChoice[] = [
  'auto',
  'keytar',
  'secret-service',
  'security',
  'dpapi',
  'passphrase',
  'fd',
  'memory',
];

/** The inputs to the choice of a keyring. */
export interface ChoiceOptions {
  readonly choice: KeychainChoice;
  /** The backend in vault.json, if there is a vault. */
  readonly recorded?: Backend;
  readonly env: NodeJS.ProcessEnv;
  /** Measures how long the keyring takes to answer. */
  readonly waits?: Waits | undefined;
}

/** Creates the keyring of a backend. `passphrase` and `memory` are left to the caller. */
export type KeyringMaker = (backend: Exclude<Backend, 'passphrase' | 'memory'>) => Keyring;

/**
 * Chooses the keyring for the vault key. A forced backend is returned without probing. `auto`
 * returns the first one that isn't `ABSENT`, in the order of {@link candidates}: a locked keychain
 * counts as present, because another one would not have the key. `none` tells why there is no
 * keyring; the caller then uses a passphrase or memory. `probed` is the keyring's answer, if it was
 * probed, so that the caller need not wait for a silent keychain again. Throws `USAGE` for an
 * unknown choice.
 */
export async function chooseKeyring(
  options: ChoiceOptions,
  make: KeyringMaker = makerFor(options),
): Promise<{ keyring: Keyring; probed?: Answer } | { none: Answer }> {
  const eligible = eligibleFor(options);
  if ('outcome' in eligible) return { none: eligible };
  const [forced] = eligible;
  if (options.choice !== 'auto' && forced) return { keyring: make(forced) };
  let none: Answer = NO_KEYCHAIN;
  for (const backend of eligible) {
    const keyring = make(backend);
    const probed = await keyring.probe();
    if (probed.outcome !== 'ABSENT') return { keyring, probed };
    none = probed;
  }
  return { none };
}

/**
 * Looks up a key in the same keyrings and order as {@link chooseKeyring}, without probing first:
 * each keyring is asked once, and the first result that isn't `ABSENT` is returned. If all are,
 * returns the last one's. Throws `USAGE` for an unknown choice.
 */
export async function lookUpKey(
  keyId: string,
  options: ChoiceOptions,
  make: KeyringMaker = makerFor(options),
): Promise<LookUp> {
  const eligible = eligibleFor(options);
  if ('outcome' in eligible) return eligible;
  let found: LookUp = NO_KEYCHAIN;
  for (const backend of eligible) {
    found = await make(backend).get(keyId);
    if (found.outcome !== 'ABSENT') return found;
  }
  return found;
}

/**
 * Returns the backends that `auto` tries, in order: keytar, the system's keychain without the
 * addon, a provided key. A vault keeps the backend that it records; if that is the keychain, both
 * backends access the same item, except on Windows. Pure.
 */
export function candidates(
  recorded: Backend | undefined,
  isKeyGiven: boolean,
  platform: NodeJS.Platform = process.platform,
): Exclude<Backend, 'passphrase' | 'memory'>[] {
  if (recorded === 'fd') return ['fd'];
  const given = isKeyGiven ? (['fd'] as const) : [];
  const native = NATIVE[platform];
  const keychains: ('keytar' | NativeBackend)[] = native === undefined ? ['keytar'] : ['keytar', native];
  if (recorded === undefined) return [...keychains, ...given];
  const isSameItem = platform !== 'win32';
  const others = isSameItem ? keychains.filter((keychain) => keychain !== recorded) : [];
  return [...keychains.filter((keychain) => keychain === recorded), ...others, ...given];
}

/** Returns the backends to try, in order, or a refusal if there are none. */
function eligibleFor({ choice, recorded, env }: ChoiceOptions): Exclude<Backend, 'passphrase' | 'memory'>[] | Refusal {
  if (!KEYCHAIN_CHOICES.includes(choice)) {
    throw new CofferError('USAGE', 'unknown value of COFFER_KEYCHAIN', {
      advice: `set COFFER_KEYCHAIN to one of ${KEYCHAIN_CHOICES.join(', ')}`,
    });
  }
  if (choice === 'passphrase' || choice === 'memory') return forTheCaller(choice, 'COFFER_KEYCHAIN asks for');
  if (choice !== 'auto') return [choice];
  if (recorded === 'passphrase' || recorded === 'memory') return forTheCaller(recorded, 'this vault has');
  return candidates(recorded, FdKeyring.isGiven(env));
}

const NO_KEYCHAIN: Refusal = { outcome: 'ABSENT', detail: 'this system has no keychain that coffer supports' };

function makerFor({ choice, env, waits }: ChoiceOptions): KeyringMaker {
  const patience = patienceFor(env);
  const onPrompt = waits?.onPrompt;
  const make: KeyringMaker = (backend) => {
    if (backend === 'keytar') return new KeytarKeyring({ env, patience, onPrompt, alone: choice === 'keytar' });
    if (backend === 'fd') return new FdKeyring(env, patience.silence);
    return new NativeKeyring(backend, env, patience, process.platform, onPrompt);
  };
  return waits === undefined ? make : (backend) => waits.around(make(backend));
}

function forTheCaller(backend: 'passphrase' | 'memory', why: string): Refusal {
  const what = backend === 'passphrase' ? 'a passphrase, not a keychain' : 'memory only, not a keychain';
  return { outcome: 'ABSENT', detail: `${why} ${what}` };
}
