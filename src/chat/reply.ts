import type { Message, Usage } from '../session/event.ts';

/**
 * A piece of a reply as it arrives. `finish` comes last and once; `reason` is the provider's word for why it ended. `input` of a
 * call is as the model gave it: whoever runs the tool has to check it, and it is a text where it was no JSON.
 */
export type ReplyPart =
  | { type: 'text' | 'reasoning'; text: string }
  | { type: 'tool-call'; toolCallId: string; toolName: string; input: unknown }
  | { type: 'finish'; usage: Usage; reason: string };

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
  /** Tokens it can take in one request. */
  readonly contextWindow: number;
  /** False for one that never calls a tool. */
  readonly takesTools?: boolean | undefined;
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
