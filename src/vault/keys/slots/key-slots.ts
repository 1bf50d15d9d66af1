import { VaultKey } from '../../../envelope/key.ts';
import { CofferError, isCofferError } from '../../../errors.ts';
import type { Backend } from '../../../keyring/keyring.ts';
import type { RecoveryCode } from '../../../keyring/recovery-code.ts';
import type { VaultDirectory } from '../../directory.ts';
import type { Seen } from '../../marks/seen.ts';
import { type HomeOptions, lookUp } from '../key-home.ts';
import type { Unlocked } from '../options.ts';
import { type KeySlot, MAX_SLOTS, type VaultFile } from '../record/shape.ts';
import { changeVaultFile, requireGenuine, requireVaultFile } from '../rotation/change.ts';

/** How many times a person may type a code back. */
const TRIES = 3;

/** A way in to the vault besides the home of its key. */
export interface SlotRow {
  /** The first eight hex digits of its salt. */
  readonly id: string;
  readonly kind: KeySlot['kind'];
}

/** Where a vault's key is, and its other ways in. */
export interface WaysIn {
  /** Key id, 32 hex digits. */
  readonly key: string;
  /** The key that an unfinished rotation replaces. */
  readonly retiring?: string | undefined;
  readonly backend: string;
  readonly provider: string;
  readonly slots: readonly SlotRow[];
}

/**
 * Shows a new recovery code and gives what was typed back; undefined means that nobody wants it. `problem` says what was wrong
 * with what was typed before. The code must go to a person's eyes and nowhere else.
 */
export type ConfirmCode = (code: string, problem: CofferError | undefined) => Promise<string | undefined>;

/**
 * The ways in to a vault. Every change is made under `locks/vault` with what vault.json says then, and durable when it resolves.
 * During an unfinished rotation there are none: the slots of two keys would have to be kept in step.
 */
export class KeySlots {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #options: HomeOptions;
  readonly #unlock: () => Promise<Unlocked>;

  constructor(place: VaultDirectory, seen: Seen, options: HomeOptions, unlock: () => Promise<Unlocked>) {
    this.#place = place;
    this.#seen = seen;
    this.#options = options;
    this.#unlock = unlock;
  }

  /** Lists the ways in as vault.json says, which only its key can verify. Asks for no key. Throws `FAILED` where there is no vault, `UNAUTHENTIC`. */
  list(): WaysIn {
    const { key, retiring, backend, provider, slots } = requireVaultFile(this.#place);
    return { key, retiring, backend, provider, slots: slots.map(rowOf) };
  }

  /** Adds a passphrase. Throws `KEY_*`, `FAILED` where there is no vault or no room, `VAULT_BUSY`, `NOT_SAVED`. */
  async addPassphrase(passphrase: string): Promise<SlotRow> {
    if (passphrase === '') throw new RangeError('a passphrase has at least one character');
    const unlocked = await this.#openForAdding();
    const { wrapForPassphrase } = await import('./slots.ts');
    return this.#add(unlocked, await wrapForPassphrase(unlocked.key, passphrase));
  }

  /**
   * Makes a recovery code, has it shown and typed back, and only then adds it: a code that nobody wrote down would be a way in
   * that is believed to be there. Throws `CANCELLED`, `RECOVERY_CODE_WRONG` after three tries, and what {@link addPassphrase} throws.
   */
  async addRecoveryCode(confirm: ConfirmCode): Promise<SlotRow> {
    const unlocked = await this.#openForAdding();
    const code = await confirmedCode(confirm);
    const { wrapForRecoveryCode } = await import('./slots.ts');
    return this.#add(unlocked, wrapForRecoveryCode(unlocked.key, code));
  }

  /**
   * Removes a way in, but never the last one: what is left must be another slot or a keychain that gives the key now, for a vault
   * without a keychain a passphrase. A copy of vault.json from before still has the slot, and opens the vault for whoever knows its
   * secret, until the key is rotated. Throws `USAGE` where there is no such slot, `FAILED` for the last way in, `VAULT_BUSY`, `NOT_SAVED`.
   */
  async remove(id: string): Promise<SlotRow> {
    requireSlot(requireVaultFile(this.#place), id);
    const unlocked = await this.#unlock();
    const before = requireSettled(requireGenuine(this.#place, unlocked));
    // Asked before the lock is taken: a keychain's prompt may stand for a minute.
    const home = before.slots.length === 1 ? await this.#lookUpHome(before) : undefined;
    const slot = requireSlot(before, id);
    await this.#change(unlocked, (file) => {
      const removed = requireSlot(file, id);
      const slots = file.slots.filter((other) => other !== removed);
      requireWayIn(file.backend, slots, home, id);
      return { ...file, slots };
    });
    return rowOf(slot);
  }

  async #lookUpHome({ key, backend }: VaultFile): Promise<VaultKey | CofferError | undefined> {
    return backend === 'passphrase' ? undefined : lookUp(this.#options, key, backend);
  }

  /** Looks first whether a slot could be added: nobody should write down a code for nothing. */
  async #openForAdding(): Promise<Unlocked> {
    requireVaultFile(this.#place); // unlocking would make a vault where there is none
    const unlocked = await this.#unlock();
    requireRoom(requireSettled(requireGenuine(this.#place, unlocked)).slots);
    return unlocked;
  }

  async #add(unlocked: Unlocked, slot: KeySlot): Promise<SlotRow> {
    await this.#change(unlocked, (file) => {
      requireRoom(file.slots);
      return { ...file, slots: [...file.slots, slot] };
    });
    return rowOf(slot);
  }

  async #change(unlocked: Unlocked, change: (file: VaultFile) => VaultFile): Promise<void> {
    await changeVaultFile(this.#place, this.#seen, unlocked, (file) => change(requireSettled(file)));
  }
}

/** Throws `FAILED` where another slot would be one too many. */
export function requireRoom(slots: readonly KeySlot[]): void {
  if (slots.length < MAX_SLOTS) return;
  const what = `this vault has ${MAX_SLOTS} key slots, and can have no more`;
  throw new CofferError('FAILED', what, { advice: 'coffer key remove makes room' });
}

/** Throws `FAILED` where `slots` and `home`, what the look-up of the key gave, are no way in. */
function requireWayIn(
  backend: Backend,
  slots: readonly KeySlot[],
  home: VaultKey | CofferError | undefined,
  id: string,
): void {
  if (backend === 'passphrase') {
    if (slots.some(({ kind }) => kind === 'passphrase')) return;
    throw lastWayIn(id, 'this vault is in no keychain, and opens with a passphrase only');
  }
  if (slots.length > 0 || home instanceof VaultKey) return;
  if (!home) throw new CofferError('VAULT_BUSY', 'the key slots were changed meanwhile', { advice: 'try again' });
  throw lastWayIn(id, home.message);
}

function lastWayIn(id: string, why: string): CofferError {
  const advice = 'add another one first, with coffer key add-passphrase';
  return new CofferError('FAILED', `slot ${id} is the last way in: ${why}`, { advice });
}

function requireSettled(file: VaultFile): VaultFile {
  if (file.retiring === undefined) return file;
  throw new CofferError('VAULT_BUSY', 'a rotation of the key is not finished', {
    advice: 'coffer key rotate goes on with it',
  });
}

function requireSlot({ slots }: VaultFile, id: string): KeySlot {
  const slot = slots.find((each) => rowOf(each).id === id);
  if (!slot) throw new CofferError('USAGE', `no slot ${id}`, { advice: 'coffer key list shows them' });
  return slot;
}

/** Names a slot. */
export function rowOf({ salt, kind }: KeySlot): SlotRow {
  return { id: Buffer.from(salt, 'base64').subarray(0, 4).toString('hex'), kind };
}

/** A fresh code that somebody has typed back. Throws `CANCELLED`, `RECOVERY_CODE_WRONG`. */
export async function confirmedCode(confirm: ConfirmCode): Promise<RecoveryCode> {
  // Loaded where one is made: the vault is opened far more often.
  const { RecoveryCode } = await import('../../../keyring/recovery-code.ts');
  const code = RecoveryCode.generate();
  const problemWith = (typed: string): CofferError | undefined => {
    try {
      if (RecoveryCode.read(typed).equals(code)) return undefined;
      return new CofferError('RECOVERY_CODE_WRONG', 'this is another recovery code than the one just shown');
    } catch (error) {
      if (!isCofferError(error, 'RECOVERY_CODE_WRONG')) throw error;
      return error;
    }
  };
  let problem: CofferError | undefined;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const typed = await confirm(code.show(), problem);
    if (typed === undefined) break;
    problem = problemWith(typed);
    if (problem === undefined) return code;
  }
  throw problem ?? new CofferError('CANCELLED', 'the code was not typed back, so it opens nothing');
}
