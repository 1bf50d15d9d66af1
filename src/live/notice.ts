import type { Compacted } from '../chat/compact.ts';
import type { CofferError } from '../errors.ts';

/** Something that the user should know. Notices are data: each front end words them itself. */
export type Notice =
  /** The session was moved from one directory to another. */
  | { readonly kind: 'moved'; readonly from: string; readonly to: string }
  /** Tools work in the session's own directory, not in the one the chat was started in. */
  | { readonly kind: 'works-in'; readonly directory: string }
  /** The session's directory is gone, so no tools are available. */
  | { readonly kind: 'directory-gone'; readonly directory: string; readonly here: string }
  | { readonly kind: 'agents-used'; readonly bytes: number }
  | { readonly kind: 'agents-left-out'; readonly error: CofferError }
  /** The session's model is not available. */
  | { readonly kind: 'model-missing'; readonly error: CofferError }
  /** The previous conversation was closed, but its last step could not be saved. */
  | { readonly kind: 'left-unsaved'; readonly error: CofferError }
  /** Everything is saved, but coffer would not detect its replacement by an older copy. */
  | { readonly kind: 'unmarked'; readonly error: CofferError }
  | { readonly kind: 'attached'; readonly files: readonly { readonly name: string; readonly bytes: number }[] }
  /** No file exists at these paths; they were sent as text. */
  | { readonly kind: 'not-attached'; readonly paths: readonly string[] }
  /** The request failed with `error` and is retried in `seconds`. */
  | { readonly kind: 'wait'; readonly seconds: number; readonly error: CofferError }
  /** The model doesn't support tools or files; requests continue without them. */
  | { readonly kind: 'refused'; readonly model: string; readonly what: 'tools' | 'files' }
  /** Older messages will be summarised. `refused`: the model rejected the context as too long. */
  | {
      readonly kind: 'context';
      readonly tokens: number;
      readonly window: number;
      readonly refused: boolean;
    }
  | { readonly kind: 'compacted'; readonly compacted: Compacted; readonly keepMessages: number }
  | { readonly kind: 'not-compacted'; readonly error: CofferError };
