import type { CofferError } from '../errors.ts';
import type { FromProvider, Message, Usage } from '../session/event/event.ts';

/**
 * A piece of a reply as it arrives. `wait` comes before anything else: the request failed with `error` and is made again in `seconds`. Text and reasoning come in blocks: `begins` starts a new one, and `providerOptions` are added to those
 * of the block. `input` of a call is as the model sent it, a string if it was not JSON: whoever runs the tool has to check it. `finish`
 * comes last and once; its `reason` is `length` if the reply was cut off at its length limit, `content-filter` if the provider's filter
 * cut it off, else another word of the SDK's.
 */
export type ReplyPart =
  | ({ type: 'text' | 'reasoning'; text: string; begins?: true } & FromProvider)
  | ({ type: 'tool-call'; toolCallId: string; toolName: string; input: unknown } & FromProvider)
  | { type: 'wait'; seconds: number; error: CofferError }
  | { type: 'finish'; usage: Usage; reason: string };

/** Says that a failed request is retried in `seconds`. */
export type Wait = Extract<ReplyPart, { type: 'wait' }>;

/** A tool as a model is told of it. */
export interface OfferedTool {
  readonly name: string;
  /** What it does, for the model. */
  readonly description: string;
  /** The JSON schema of its input. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
}

/** Something that answers. */
export interface ChatModel {
  /** `provider/model`. */
  readonly name: string;
  /** What is said to it stays on this machine. */
  readonly isLocal: boolean;
  /** Tokens it can take in one request. The turn loop lowers it to a little less than what the model refused as too long. */
  contextWindow: number;
  /** Finds out its window, if that has to be asked for; once, before the first request. Never rejects. */
  prepare?(signal: AbortSignal): Promise<void>;
  /** What it has refused so far: requests leave it out. A model that never calls a tool starts with `tools`. */
  readonly refuses: Set<'tools' | 'files'>;
  /**
   * Asks for the reply to `messages`, the last of which is the user's or has results of tools. It may call `tools`. Parts come in order; an
   * iteration that ends without an error has ended with `finish`. Throws a `CofferError` and nothing
   * else: `CANCELLED` once `signal` is aborted, else `MODEL_*`; its message and cause carry neither
   * the key nor anything of the conversation. Must stop its request when the iteration is left early.
   */
  reply(
    messages: readonly Message[],
    signal: AbortSignal,
    tools?: readonly OfferedTool[] | undefined,
  ): AsyncIterable<ReplyPart>;
}

/** The window of a model of which nobody said how much it takes. */
export const DEFAULT_WINDOW = 128_000;
