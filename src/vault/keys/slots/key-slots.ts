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

/** Maximum number of attempts to type a code back. */
const TRIES = 3;

/** A key slot: a passphrase or a recovery code. */
export interface SlotRow {
  /** The first eight hex digits of its salt. */
  readonly id: string;
  readonly kind: KeySlot['kind'];
}

/** The place where a vault's key is stored, and its key slots. */
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
 * Shows a new recovery code and returns what the user typed back; undefined if the user declines.
 * `problem` says what was wrong with the previous attempt. The code must be shown to the user and
 * go nowhere else.
 */
export type ConfirmCode = (code: string, problem: CofferError | undefined) => Promise<string | undefined>;

/**
 * The key slots of a vault. Every change is made under `locks/vault` to the current content of
 * vault.json, and is durable when it resolves. During an unfinished rotation no change is allowed:
 * the slots of two keys would have to be kept in step.
 */
export class KeySlots {
  readonly #place: VaultDirectory;
  readonly #seen: Seen;
  readonly #options: HomeOptions;
  readonly #unlock: () => Promise<Unlocked>;

  /** @internal */
  constructor(place: VaultDirectory, seen: Seen, options: HomeOptions, unlock: () => Promise<Unlocked>) {
    this.#place = place;
    this.#seen = seen;
    this.#options = options;
    this.#unlock = unlock;
  }

  /**
   * Lists the key slots in vault.json, which only its key could verify. Doesn't ask for the key.
   * Throws `FAILED` if there is no vault, `UNAUTHENTIC`.
   */
  list(): WaysIn {
    const { key, retiring, backend, provider, slots } = requireVaultFile(this.#place);
    return { key, retiring, backend, provider, slots: slots.map(rowOf) };
  }

  /**
   * Adds a passphrase. Throws `KEY_*`, `FAILED` if there is no vault or no free slot, `VAULT_BUSY`,
   * `NOT_SAVED`, and RangeError if it is empty.
   */
  async addPassphrase(passphrase: string): Promise<SlotRow> {
    if (passphrase === '') throw new RangeError('a passphrase needs at least one character');
    const unlocked = await this.#openForAdding();
    const { wrapForPassphrase } = await import('./slots.ts');
    return this.#add(unlocked, await wrapForPassphrase(unlocked.key, passphrase));
  }

  /**
   * Creates a recovery code, has it shown and typed back, and only then adds it: the user would
   * rely on a code that was never written down. Throws `CANCELLED`, `RECOVERY_CODE_WRONG` after
   * three attempts, and as {@link addPassphrase}.
   */
  async addRecoveryCode(confirm: ConfirmCode): Promise<SlotRow> {
    const unlocked = await this.#openForAdding();
    const code = await confirmedCode(confirm);
    const { wrapForRecoveryCode } = await import('./slots.ts');
    return this.#add(unlocked, wrapForRecoveryCode(unlocked.key, code));
  }

  /**
   * Removes a slot, but never the last way to open the vault: there must remain another slot, or a
   * keychain that returns the key now; for a vault without a keychain, a passphrase. Older copies
   * of vault.json still have the slot, and with its secret they open the vault until the key is
   * rotated. Throws `USAGE` if there is no such slot, `FAILED` for the last way in, `VAULT_BUSY`,
   * `NOT_SAVED`.
   */
  async remove(id: string): Promise<SlotRow> {
    requireSlot(requireVaultFile(this.#place), id);
    const unlocked = await this.#unlock();
    const before = requireSettled(requireGenuine(this.#place, unlocked));
    // Ask before taking the lock: a keychain's prompt may stay open for a minute.
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

  /** Checks first that a slot can be added, so that no user writes down a code in vain. */
  async #openForAdding(): Promise<Unlocked> {
    requireVaultFile(this.#place); // unlocking would create a missing vault
    const unlocked = await this.#unlock();
    requireFreeSlot(requireSettled(requireGenuine(this.#place, unlocked)).slots);
    return unlocked;
  }

  async #add(unlocked: Unlocked, slot: KeySlot): Promise<SlotRow> {
    await this.#change(unlocked, (file) => {
      requireFreeSlot(file.slots);
      return { ...file, slots: [...file.slots, slot] };
    });
    return rowOf(slot);
  }

  async #change(unlocked: Unlocked, change: (file: VaultFile) => VaultFile): Promise<void> {
    await changeVaultFile(this.#place, this.#seen, unlocked, (file) => change(requireSettled(file)));
  }
}

/** Throws `FAILED` if there is no free slot. */
export function requireFreeSlot(slots: readonly KeySlot[]): void {
  if (slots.length < MAX_SLOTS) return;
  const what = `this vault already has ${MAX_SLOTS} key slots, the maximum`;
  throw new CofferError('FAILED', what, { advice: 'remove one with coffer key remove' });
}

/**
 * Throws `FAILED` if neither `slots` nor `home`, the result of looking up the key, opens the vault.
 */
function requireWayIn(
  backend: Backend,
  slots: readonly KeySlot[],
  home: VaultKey | CofferError | undefined,
  id: string,
): void {
  if (backend === 'passphrase') {
    if (slots.some(({ kind }) => kind === 'passphrase')) return;
    throw lastWayIn(id, "the vault's key is in no keychain, so it opens with a passphrase only");
  }
  if (slots.length > 0 || home instanceof VaultKey) return;
  if (!home) throw new CofferError('VAULT_BUSY', 'the key slots were changed in the meantime', { advice: 'try again' });
  throw lastWayIn(id, home.message);
}

function lastWayIn(id: string, why: string): CofferError {
  const advice = 'add another one first, with coffer key add-passphrase';
  return new CofferError('FAILED', `slot ${id} is the last way in: ${why}`, { advice });
}

function requireSettled(file: VaultFile): VaultFile {
  if (file.retiring === undefined) return file;
  throw new CofferError('VAULT_BUSY', 'a key rotation is not finished', {
    advice: 'run coffer key rotate to continue it',
  });
}

function requireSlot({ slots }: VaultFile, id: string): KeySlot {
  const slot = slots.find((each) => rowOf(each).id === id);
  if (!slot) throw new CofferError('USAGE', `no slot ${id}`, { advice: 'coffer key list shows them' });
  return slot;
}

/** Returns the row of a slot. */
export function rowOf({ salt, kind }: KeySlot): SlotRow {
  return { id: Buffer.from(salt, 'base64').subarray(0, 4).toString('hex'), kind };
}

/**
 * Returns a new recovery code that the user has typed back. Throws `CANCELLED`,
 * `RECOVERY_CODE_WRONG`.
 */
export async function confirmedCode(confirm: ConfirmCode): Promise<RecoveryCode> {
  // Loaded on use: vaults are opened far more often.
  const { RecoveryCode } = await import('../../../keyring/recovery-code.ts');
  const code = RecoveryCode.generate();
  const problemWith = (typed: string): CofferError | undefined => {
    try {
      if (RecoveryCode.read(typed).equals(code)) return undefined;
      return new CofferError('RECOVERY_CODE_WRONG', 'this is not the recovery code that was just shown');
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
  throw problem ?? new CofferError('CANCELLED', 'the code was not typed back, so it was not added');
}
