import type { CofferError } from '../errors.ts';
import type { FromProvider, Message, Usage } from '../session/event/event.ts';

/**
 * A piece of a reply as it arrives.
 *
 * - `wait` comes before anything else: the request failed with `error` and is retried in `seconds`.
 * - Text and reasoning come in blocks: `begins` starts a new one, and `providerOptions` are added
 *   to those of the block.
 * - `input` of a call is as the model sent it, a string if it was not JSON; whoever runs the tool
 *   must validate it.
 * - `finish` comes last, once. Its `reason` is `length` if the reply was cut off at its length
 *   limit, `content-filter` if the provider's filter cut it off, otherwise another value of the
 *   SDK.
 */
export type ReplyPart =
  | ({ type: 'text' | 'reasoning'; text: string; begins?: true } & FromProvider)
  | ({ type: 'tool-call'; toolCallId: string; toolName: string; input: unknown } & FromProvider)
  | { type: 'wait'; seconds: number; error: CofferError }
  | { type: 'finish'; usage: Usage; reason: string };

/** Announces that a failed request is retried in `seconds`. */
export type RetryWait = Extract<ReplyPart, { type: 'wait' }>;

/** A tool as it is offered to a model. */
export interface OfferedTool {
  readonly name: string;
  /** Describes the tool to the model. */
  readonly description: string;
  /** The JSON schema of its input. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
}

/** A model to chat with. */
export interface ChatModel {
  /** `provider/model`. */
  readonly name: string;
  /** Whether everything sent to it stays on this machine. */
  readonly isLocal: boolean;
  /**
   * Tokens it accepts in one request. The turn loop lowers it to slightly less than a context the
   * model refused as too long.
   */
  contextWindow: number;
  /**
   * Asks the server for the window, if it must be asked; called once, before the first request.
   * Never rejects.
   */
  prepare?(signal: AbortSignal): Promise<void>;
  /**
   * Features it has refused so far; requests leave these out. A model that never calls tools starts
   * with `tools`.
   */
  readonly refuses: Set<'tools' | 'files'>;
  /**
   * Asks for the reply to `messages`, the last of which is from the user or has tool results. The
   * model may call `tools`. Parts arrive in order; an iteration that ends without an error has
   * ended with `finish`. Throws only `CofferError`: `CANCELLED` once `signal` is aborted, else
   * `MODEL_*`, `TOOLS_UNSUPPORTED`, `FILES_UNSUPPORTED` or `CONTEXT_TOO_LONG`; its message and
   * cause contain neither the key nor anything from the conversation. Must stop its request if the
   * caller leaves the iteration early.
   */
  reply(
    messages: readonly Message[],
    signal: AbortSignal,
    tools?: readonly OfferedTool[] | undefined,
  ): AsyncIterable<ReplyPart>;
}

/** The context window assumed for a model whose size is unknown, in tokens. */
export const DEFAULT_WINDOW = 128_000;
