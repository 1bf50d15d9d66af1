import type { FromProvider, Message, Part } from '../../session/event/event.ts';
import type { Endpoint } from '../models/providers.ts';

/*
 * Decides which parts of a reply's reasoning must be sent back, and in which field:
 * OpenAI-compatible servers differ in this.
 */

/** The key in `providerOptions` under which coffer stores what the SDK doesn't. */
const COFFER = 'coffer';

type Detail = Record<string, unknown>;

/** Observes in the chunks of a reply how an OpenAI-compatible server sends reasoning. */
export class ReasoningFields {
  #field: string | undefined;
  readonly #details: Detail[] = [];

  /**
   * Inspects a chunk as the server sent it. Must be called before the chunk's parts are processed.
   */
  see(chunk: unknown): void {
    const delta = (chunk as { choices?: { delta?: Detail | null }[] } | null)?.choices?.[0]?.delta;
    this.#field = ['reasoning_content', 'reasoning'].find((name) => Boolean(delta?.[name])) ?? this.#field;
    const details = delta?.['reasoning_details'];
    if (Array.isArray(details)) for (const detail of details) this.#add(detail);
  }

  /** The options to store with the reasoning of the last chunk; undefined if there are none. */
  get options(): FromProvider['providerOptions'] {
    return this.#field === undefined ? undefined : { [COFFER]: { field: this.#field } };
  }

  /**
   * The reasoning details of the whole reply, to be stored with it; undefined if the server sent
   * none.
   */
  get details(): FromProvider['providerOptions'] {
    return this.#details.length === 0 ? undefined : { [COFFER]: { details: this.#details } };
  }

  /** Appends a detail; joins texts that arrive in pieces. */
  #add(detail: unknown): void {
    if (typeof detail !== 'object' || detail === null) return;
    const piece = detail as Detail;
    const last = this.#details.at(-1);
    const name = ['text', 'summary'].find(
      (each) => typeof piece[each] === 'string' && typeof last?.[each] === 'string',
    );
    if (
      last === undefined ||
      name === undefined ||
      last['type'] !== piece['type'] ||
      last['index'] !== piece['index']
    ) {
      this.#details.push({ ...piece });
      return;
    }
    Object.assign(last, { ...piece, [name]: `${last[name]}${piece[name]}` });
  }
}

/**
 * Removes from each message the reasoning that the protocol can't send back, and adds fields that a
 * server requires. Anthropic accepts only reasoning that it has signed. Ollama, and servers that
 * sent reasoning as `reasoning_content`, get it back in turns with tool calls; the latter also get
 * an empty one with every other assistant message: DeepSeek refuses messages without it
 * (api-docs.deepseek.com, "Thinking Mode"), Groq those with it. OpenRouter gets its
 * `reasoning_details` back unchanged (openrouter.ai, "Preserving reasoning").
 */
export function forProtocol(messages: readonly Message[], endpoint: Endpoint): Message[] {
  if (endpoint.type === 'anthropic') return messages.map((message) => withReasoning(message, isSigned));
  const ownFields = endpoint.type === 'ollama' ? ['reasoning', 'reasoning_content'] : ['reasoning_content'];
  const wantsReasoning = endpoint.provider === 'deepseek' || isDeepSeek(endpoint.baseURL) || messages.some(hasContent);
  const inTurnWithCalls = turnsWithCalls(messages);
  return messages.map((message, at) => {
    if (message.role !== 'assistant') return message;
    const hasCalls = inTurnWithCalls[at] === true;
    const kept = withReasoning(message, (part) => hasCalls && ownFields.includes(String(fieldOf(part))));
    const details = hasCalls ? detailsOf(message) : undefined;
    return withFields(kept, {
      ...(wantsReasoning && !partsOf(kept).some(({ type }) => type === 'reasoning') && { reasoning_content: '' }),
      ...(details !== undefined && { reasoning_details: details }),
      // For a message with calls only, the SDK sends null as content, which Ollama refuses at its
      // OpenAI-compatible address (pydantic/pydantic-ai issue 5206).
      ...(endpoint.isLocal && !partsOf(kept).some(({ type }) => type === 'text') && { content: '' }),
    });
  });
}

function isDeepSeek(baseURL: string): boolean {
  return /(^|\.)deepseek\.com$/.test(URL.parse(baseURL)?.hostname ?? '');
}

function isSigned({ providerOptions }: Part): boolean {
  return providerOptions?.['anthropic'] !== undefined;
}

function fieldOf({ providerOptions }: Part): unknown {
  return providerOptions?.[COFFER]?.['field'];
}

function hasContent(message: Message): boolean {
  return partsOf(message).some((part) => fieldOf(part) === 'reasoning_content');
}

function detailsOf(message: Message): unknown {
  return partsOf(message).findLast((part) => part.providerOptions?.[COFFER]?.['details'] !== undefined)
    ?.providerOptions?.[COFFER]?.['details'];
}

/**
 * Tells for each message whether there is a tool call between the prompt before it and the next
 * prompt.
 */
function turnsWithCalls(messages: readonly Message[]): boolean[] {
  const has: boolean[] = [];
  let start = 0;
  for (const [at, message] of messages.entries()) {
    if (message.role === 'user') start = at + 1;
    has.push(start < at && has[at - 1] === true);
    if (has[at] || !partsOf(message).some(({ type }) => type === 'tool-call')) continue;
    has.fill(true, start, at + 1);
  }
  return has;
}

function withReasoning(message: Message, isSent: (part: Part) => boolean): Message {
  if (message.role !== 'assistant' || typeof message.content === 'string') return message;
  return { ...message, content: message.content.filter((part) => part.type !== 'reasoning' || isSent(part)) };
}

/**
 * Adds fields to a message: the SDK copies whatever is under this name into the message it sends.
 */
function withFields(message: Message, fields: Readonly<Record<string, unknown>>): Message {
  if (Object.keys(fields).length === 0) return message;
  return Object.assign({ ...message }, { providerOptions: { openaiCompatible: fields } });
}

function partsOf({ content }: Message): readonly Part[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}
