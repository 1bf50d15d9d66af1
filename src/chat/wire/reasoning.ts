import type { FromProvider, Message, Part } from '../../session/event/event.ts';
import type { Endpoint } from '../models/providers.ts';

/*
 * What has to go back of a reply's reasoning, and in which field: servers of the OpenAI-compatible protocol each have a way of
 * their own.
 */

/** The name under which coffer keeps with a part what the SDK does not. */
const COFFER = 'coffer';

type Detail = Record<string, unknown>;

/** Reads from the chunks of a reply how an OpenAI-compatible server sends reasoning. */
export class ReasoningFields {
  #field: string | undefined;
  readonly #details: Detail[] = [];

  /** Takes a chunk as the server sent it, before its parts. */
  see(chunk: unknown): void {
    const delta = (chunk as { choices?: { delta?: Detail | null }[] } | null)?.choices?.[0]?.delta;
    this.#field = ['reasoning_content', 'reasoning'].find((name) => Boolean(delta?.[name])) ?? this.#field;
    const details = delta?.['reasoning_details'];
    if (Array.isArray(details)) for (const detail of details) this.#add(detail);
  }

  /** What has to be kept with the reasoning that the last chunk had; undefined if nothing has. */
  get options(): FromProvider['providerOptions'] {
    return this.#field === undefined ? undefined : { [COFFER]: { field: this.#field } };
  }

  /** The details of the whole reply, to be kept with it; undefined if the server sent none. */
  get details(): FromProvider['providerOptions'] {
    return this.#details.length === 0 ? undefined : { [COFFER]: { details: this.#details } };
  }

  /** Joins the pieces in which a text arrives. */
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
 * Leaves of each message what the protocol can send back, and adds what a server wants beside it. Anthropic accepts only reasoning that it has
 * signed. Of the others, Ollama and those that sent reasoning as `reasoning_content` get it back in turns with calls, the latter an empty one
 * with whatever else the assistant said: DeepSeek refuses messages without it (api-docs.deepseek.com, "Thinking Mode"), Groq those with it. OpenRouter
 * gets its `reasoning_details` back unchanged (openrouter.ai, "Preserving reasoning").
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
      // The SDK sends null beside calls, which Ollama refuses at its OpenAI-compatible address (pydantic/pydantic-ai issue 5206).
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

/** Tells of each message whether something is called between the prompt before it and the next one. */
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

/** The SDK writes what a message has under this name into the message it sends. */
function withFields(message: Message, fields: Readonly<Record<string, unknown>>): Message {
  if (Object.keys(fields).length === 0) return message;
  return Object.assign({ ...message }, { providerOptions: { openaiCompatible: fields } });
}

function partsOf({ content }: Message): readonly Part[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}
