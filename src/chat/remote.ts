import type { LanguageModel, LanguageModelUsage, ModelMessage, streamText } from 'ai';
import { CofferError } from '../errors.ts';
import type { Message, Usage } from '../session/event.ts';
import { cancelled, explain } from './faults.ts';
import type { Endpoint } from './providers.ts';
import type { ChatModel, ReplyPart } from './reply.ts';

/**
 * Gives the model behind an endpoint. The SDK is imported at the first reply. Requests go to the
 * endpoint and nowhere else: no redirect is followed, no file fetched, no telemetry sent, and nothing
 * is tried twice.
 */
export function remoteModel(endpoint: Endpoint): ChatModel {
  return {
    name: `${endpoint.provider}/${endpoint.model}`,
    reply: (messages, signal) => replyOf(endpoint, messages, signal),
  };
}

async function* replyOf(
  endpoint: Endpoint,
  messages: readonly Message[],
  signal: AbortSignal,
): AsyncGenerator<ReplyPart, void, undefined> {
  const left = new AbortController();
  let begun = false;
  try {
    for await (const part of request(endpoint, await sdk(), messages, AbortSignal.any([signal, left.signal]))) {
      begun = true;
      yield part;
    }
  } catch (error) {
    throw signal.aborted ? cancelled() : explain(error, endpoint, begun);
  } finally {
    left.abort();
  }
}

async function* request(
  endpoint: Endpoint,
  stream: typeof streamText,
  messages: readonly Message[],
  signal: AbortSignal,
): AsyncGenerator<ReplyPart, void, undefined> {
  signal.throwIfAborted();
  const result = stream({
    model: await languageModel(endpoint),
    messages: messages.filter(saysSomething) as ModelMessage[],
    allowSystemInMessages: true,
    abortSignal: signal,
    maxRetries: 0,
    telemetry: { isEnabled: false },
    experimental_download: refuseDownload,
    onError() {
      // Every error is also a part of the stream; without this the SDK prints it, request and all.
    },
  });
  let usage = unknownUsage;
  for await (const part of result.stream) {
    if (part.type === 'text-delta' && part.text !== '') yield { type: 'text', text: part.text };
    else if (part.type === 'reasoning-delta' && part.text !== '') yield { type: 'reasoning', text: part.text };
    else if (part.type === 'error') throw part.error;
    else if (part.type === 'abort') signal.throwIfAborted();
    else if (part.type === 'finish-step') usage = usageOf(part.usage, endpoint.type);
    else if (part.type === 'finish') {
      const reason: string = part.finishReason;
      if (reason === 'interrupted' || reason === 'error') break;
      yield { type: 'finish', usage, reason };
      return;
    }
  }
  throw new Error('the stream ended before the reply did');
}

async function sdk(): Promise<typeof streamText> {
  const { streamText } = await import('ai');
  globalThis.AI_SDK_LOG_WARNINGS = false;
  return streamText;
}

// A model object, never a name: the SDK takes a name to its vendor's gateway.
async function languageModel({ provider, model, type, baseURL, apiKey }: Endpoint): Promise<LanguageModel> {
  if (type === 'anthropic') {
    const { createAnthropic } = await import('@ai-sdk/anthropic');
    // Without a key of its own this one would take ANTHROPIC_API_KEY, whatever server it talks to.
    return createAnthropic({ baseURL, apiKey: apiKey ?? '', fetch: fetchHere })(model);
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const key = apiKey === undefined ? {} : { apiKey };
  return createOpenAICompatible({ name: provider, baseURL, includeUsage: true, fetch: fetchHere, ...key })(model);
}

const fetchHere: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'manual' });

async function refuseDownload(requests: readonly { isUrlSupportedByModel: boolean }[]): Promise<null[]> {
  return requests.map(({ isUrlSupportedByModel }) => {
    if (isUrlSupportedByModel) return null;
    throw new CofferError(
      'MODEL_FAILED',
      'the conversation has a file that is only an address, and coffer fetches none',
    );
  });
}

// Of a reply cut off while it was reasoning nothing can be sent back, and some servers refuse an empty message.
function saysSomething(message: Message): boolean {
  if (message.role !== 'assistant') return true;
  if (typeof message.content === 'string') return message.content !== '';
  return message.content.some((part) => part.type !== 'reasoning' && !(part.type === 'text' && part.text === ''));
}

const unknownUsage: Usage = { inputTokens: null, outputTokens: null, cost: null };

function usageOf({ inputTokens, outputTokens, raw }: LanguageModelUsage, type: Endpoint['type']): Usage {
  // The SDK makes 0 of a count that an OpenAI-compatible server leaves out.
  const given = (name: string): boolean => type === 'anthropic' || raw?.[name] != null;
  return {
    inputTokens: given('prompt_tokens') ? (inputTokens ?? null) : null,
    outputTokens: given('completion_tokens') ? (outputTokens ?? null) : null,
    cost: null,
  };
}
