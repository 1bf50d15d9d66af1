import { CofferError } from '../errors.ts';
import { NATIVE, type NativeBackend, NativeKeyring } from './fallback.ts';
import { FdKeyring } from './fd.ts';
import { KeytarKeyring } from './keytar.ts';
import type { Answer, Backend, Keyring, LookUp, Refusal } from './outcomes.ts';
import { patienceFor } from './patience.ts';
import type { Waits } from './waits.ts';

export type { Answer, Backend, Keyring, LookUp, Outcome } from './outcomes.ts';
export type { Wait } from './waits.ts';

/** What COFFER_KEYCHAIN may say: let coffer choose, or one backend and no other. */
export type KeychainChoice = 'auto' | Backend;

/** Everything COFFER_KEYCHAIN may say. */
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

/** What the choice of a keyring depends on. */
export interface ChoiceOptions {
  readonly choice: KeychainChoice;
  /** The backend in vault.json, where there is a vault. */
  readonly recorded?: Backend;
  readonly env: NodeJS.ProcessEnv;
  /** Watches how long the keyring takes to answer. */
  readonly waits?: Waits | undefined;
}

/** Makes the keyring of a backend that is one; `passphrase` and `memory` are for the caller. */
export type KeyringMaker = (backend: Exclude<Backend, 'passphrase' | 'memory'>) => Keyring;

/**
 * Chooses where the vault key is kept. A forced backend is taken as it is, whatever it will answer; `auto` takes the first that is not
 * `ABSENT`, in the order of {@link candidates}: a locked keychain is an answer, and another one in its place would have no key.
 * `none` says why no keyring is there; the caller uses a passphrase or memory instead. `probed` is the keyring's answer, if it was probed, so
 * that the caller does not wait for a silent keychain again. Throws `USAGE` for an unknown choice.
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
 * Looks a key up where {@link chooseKeyring} would, in the same order, without probing before: each keyring is asked once, and the first
 * that is not `ABSENT` has the answer. The last one's where all are. Throws `USAGE` for a choice that is none.
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
 * Lists what `auto` tries, in order: keytar, the system's keychain without the addon, a key that was brought along. A vault
 * on record stays with its home; where that is the keychain both ways to it lead to the same item, but on Windows. Pure.
 */
export function candidates(
  recorded: Backend | undefined,
  isKeyGiven: boolean,
  platform: NodeJS.Platform = process.platform,
): Exclude<Backend, 'passphrase' | 'memory'>[] {
  if (recorded === 'fd') return ['fd'];
  const given = isKeyGiven ? (['fd'] as const) : [];
  const native = NATIVE[platform];
  const ways: ('keytar' | NativeBackend)[] = native === undefined ? ['keytar'] : ['keytar', native];
  if (recorded === undefined) return [...ways, ...given];
  const isSameItem = platform !== 'win32';
  const others = isSameItem ? ways.filter((way) => way !== recorded) : [];
  return [...ways.filter((way) => way === recorded), ...others, ...given];
}

/** The backends that may be asked, in order; an answer where none is to be asked. */
function eligibleFor({ choice, recorded, env }: ChoiceOptions): Exclude<Backend, 'passphrase' | 'memory'>[] | Refusal {
  if (!KEYCHAIN_CHOICES.includes(choice)) {
    throw new CofferError('USAGE', 'no such keychain', {
      advice: `COFFER_KEYCHAIN may be ${KEYCHAIN_CHOICES.join(', ')}`,
    });
  }
  if (choice === 'passphrase' || choice === 'memory') return forTheCaller(choice, 'COFFER_KEYCHAIN asks for');
  if (choice !== 'auto') return [choice];
  if (recorded === 'passphrase' || recorded === 'memory') return forTheCaller(recorded, 'this vault has');
  return candidates(recorded, FdKeyring.isGiven(env));
}

const NO_KEYCHAIN: Refusal = { outcome: 'ABSENT', detail: 'this system has no keychain that coffer knows' };

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
