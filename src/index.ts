/**
 * The coffer library: opens an encrypted vault, and lists, reads, writes and resumes the chat
 * sessions in it. Start with {@link openVault}.
 *
 * @packageDocumentation
 */

export { CofferError, type ErrorCode, type ErrorDetails, type Holder, isCofferError } from './errors.ts';
export type { FileState } from './files/replace/cache.ts';
export type { Answer, Backend, KeychainChoice, Keyring, KeyWait, LookUp, Outcome } from './keyring/keyring.ts';
export { MemoryKeyring } from './keyring/memory.ts';
export type { Refusal } from './keyring/outcomes.ts';
export type { SlotParameters } from './keyring/passphrase.ts';
export type { RecoveryParameters } from './keyring/recovery-code.ts';
export type { Lost, Salvage } from './session/change/salvage.ts';
export type { BrokenFile } from './session/event/attachment.ts';
export {
  type Approval,
  type Event,
  type EventPlace,
  type FromProvider,
  type Instructions,
  isKnown,
  type KnownEvent,
  type Message,
  type NewEvent,
  type Parent,
  type Part,
  type Project,
  type ProviderOptions,
  type Status,
  type UnknownEvent,
  type Usage,
} from './session/event/event.ts';
export { textOf } from './session/event/message-text.ts';
export type { Imported } from './session/import/import.ts';
export type { Conflict } from './session/list/conflicts.ts';
export type { Row } from './session/list/row.ts';
export type { Summary } from './session/list/summary.ts';
export { type OpenOptions, openVault, recoverVault } from './session/open-vault.ts';
export type { Unsaved } from './session/origin.ts';
export type { Match, SearchHit } from './session/search/search.ts';
export type { Session } from './session/session.ts';
export type { Sessions } from './session/sessions.ts';
export type { Beginning, Inspection, KeyState, Recorded, SeenReport } from './session/shapes.ts';
export type { Permission, State } from './session/state.ts';
export type { Upkeep } from './session/upkeep.ts';
export type { Conflicting } from './vault/conflicting.ts';
export type { QuarantinedFile } from './vault/file/quarantine.ts';
export type { LooseMode, Misplaced, VaultInspection } from './vault/inspect.ts';
export type { AskPassphrase } from './vault/keys/options.ts';
export type { Access } from './vault/keys/record/known.ts';
export type { Repaired } from './vault/keys/record/repair.ts';
export type { KeySlot, PassphraseSlot, RecoverySlot, Successor, VaultFile } from './vault/keys/record/shape.ts';
export type { TrustChange } from './vault/keys/record/trust.ts';
export type { VaultRecord } from './vault/keys/record/vault-record.ts';
export type { AskSecret, RecoverAsks, Recovered } from './vault/keys/recover.ts';
export type { Remaining, Rotated } from './vault/keys/rotation/rotate.ts';
export type { ConfirmCode, KeySlots, SlotRow, WaysIn } from './vault/keys/slots/key-slots.ts';
export type { Rewrapping } from './vault/keys/slots/rewrap.ts';
export type { VaultKeys } from './vault/keys/vault-keys.ts';
export type { OnProgress } from './vault/progress.ts';
