/**
 * The coffer library: opens an encrypted vault, and lists, reads, writes and resumes the chat
 * sessions in it. Start with {@link openVault}.
 *
 * @packageDocumentation
 */

export { CofferError, type ErrorCode, type ErrorDetails, type Holder, isCofferError } from './errors.ts';
export type { Answer, Backend, KeychainChoice, Keyring, KeyWait, LookUp, Outcome } from './keyring/keyring.ts';
export { MemoryKeyring } from './keyring/memory.ts';
export type {
  Approval,
  Event,
  KnownEvent,
  Message,
  NewEvent,
  Parent,
  Part,
  Project,
  Status,
  UnknownEvent,
  Usage,
} from './session/event/event.ts';
export type { Row } from './session/list/row.ts';
export type { Summary } from './session/list/summary.ts';
export { type OpenOptions, openVault, recoverVault } from './session/open-vault.ts';
export type { Unsaved } from './session/origin.ts';
export type { Session } from './session/session.ts';
export type { Sessions } from './session/sessions.ts';
export type { Beginning, Inspection, KeyState, Recorded, SeenReport } from './session/shapes.ts';
export type { State } from './session/state.ts';
export type { KeySlots, SlotRow, WaysIn } from './vault/keys/slots/key-slots.ts';
