import type { Message, Usage } from '../session/event.ts';

/** A piece of a reply as it arrives. `finish` comes last and once; `reason` is the provider's word for why it ended. */
export type ReplyPart = { type: 'text' | 'reasoning'; text: string } | { type: 'finish'; usage: Usage; reason: string };

/** Something that answers. */
export interface ChatModel {
  /** `provider/model`. */
  readonly name: string;
  /**
   * Asks for the reply to `messages`, the last of which is the user's. Parts come in order; an
   * iteration that ends without an error has ended with `finish`. Throws a `CofferError` and nothing
   * else: `CANCELLED` once `signal` is aborted, else `MODEL_*`; its message and cause carry neither
   * the key nor anything of the conversation. Must stop its request when the iteration is left early.
   */
  reply(messages: readonly Message[], signal: AbortSignal): AsyncIterable<ReplyPart>;
}
