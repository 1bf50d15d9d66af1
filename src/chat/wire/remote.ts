import { setTimeout } from 'node:timers/promises';
import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4Usage } from '@ai-sdk/provider';
import { CofferError } from '../../errors.ts';
import type { FromProvider, Message, Usage } from '../../session/event/event.ts';
import { modelsOf } from '../models/detect.ts';
import { nearest } from '../models/nearest.ts';
import { type Endpoint, quote } from '../models/providers.ts';
import { askWindow, knownWindow } from '../models/window.ts';
import { type ChatModel, DEFAULT_WINDOW, type OfferedTool, type ReplyPart } from '../reply.ts';
import { RequestWriter } from './body.ts';
import { answerIn, cancelled, explain } from './faults.ts';
import { patientFetch } from './fetch.ts';
import { ollamaFetch, ollamaRequest } from './ollama.ts';
import { forProtocol, ReasoningFields } from './reasoning.ts';
import { retryIn } from './retry.ts';
import { toPrompt, toTools } from './sdk.ts';
import { Blocks, callOf, isOfBlock, optionsOf } from './stream.ts';

/**
 * Returns the model behind an endpoint. The SDK is imported on the first reply. Requests go only to
 * the endpoint: no redirect is followed, no file fetched, no telemetry sent. A request that fails
 * before any of the reply has arrived is retried, see {@link retryIn}. Tools are offered but never
 * run here. `requestTimeout` is how many milliseconds the provider may send nothing; 0 means no
 * limit.
 */
export function remoteModel(endpoint: Endpoint, requestTimeout: number): ChatModel {
  const fetch = patientFetch(requestTimeout);
  const writer = new RequestWriter();
  let isKnown = !mustAskWindow(endpoint);
  return {
    name: `${endpoint.provider}/${endpoint.model}`,
    isLocal: endpoint.isLocal,
    contextWindow: endpoint.contextWindow ?? knownWindow(endpoint.model) ?? DEFAULT_WINDOW,
    refuses: new Set(),
    async prepare(signal) {
      if (isKnown) return;
      isKnown = true;
      this.contextWindow = (await askWindow(endpoint, signal)) ?? this.contextWindow;
    },
    reply: (messages, signal, tools) => replyOf(endpoint, { messages, tools, fetch, writer }, signal),
  };
}

/**
 * Ollama must always be asked: it never uses more than the model was trained with, whatever the
 * settings say.
 */
function mustAskWindow({ type, isLocal, contextWindow, model }: Endpoint): boolean {
  if (type === 'ollama') return true;
  return contextWindow === undefined && (isLocal || knownWindow(model) === undefined);
}

/** The contents of a request, apart from its endpoint. */
interface Question {
  readonly messages: readonly Message[];
  readonly tools: readonly OfferedTool[] | undefined;
  readonly fetch: typeof fetch;
  readonly writer: RequestWriter;
}

async function* replyOf(
  endpoint: Endpoint,
  question: Question,
  signal: AbortSignal,
): AsyncGenerator<ReplyPart, void, undefined> {
  for (let attempt = 1; ; attempt++) {
    const left = new AbortController();
    let begun = false;
    try {
      for await (const part of request(endpoint, question, AbortSignal.any([signal, left.signal]))) {
        begun = true;
        yield part;
      }
      return;
    } catch (thrown) {
      if (signal.aborted) throw cancelled();
      const error = explain(thrown, endpoint, begun);
      const seconds = begun || isForGood(error) ? undefined : retryIn(answerIn(thrown), attempt);
      if (seconds === undefined) throw await nameModels(error, endpoint);
      yield { type: 'wait', seconds, error };
      await pause(seconds, signal);
    } finally {
      left.abort();
    }
  }
}

/**
 * Tells whether the request was refused because of its content, whatever the status: llama.cpp
 * returns 500 for an image.
 */
function isForGood({ code }: CofferError): boolean {
  return code !== 'MODEL_FAILED' && code !== 'MODEL_LIMITED';
}

async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(seconds * 1000, undefined, { signal });
  } catch {
    throw cancelled(); // only an abort ends the timer early
  }
}

async function* request(
  endpoint: Endpoint,
  { messages, tools, fetch, writer }: Question,
  signal: AbortSignal,
): AsyncGenerator<ReplyPart, void, undefined> {
  const model = await languageModel(endpoint, { fetch, writer });
  signal.throwIfAborted();
  const { stream } = await model.doStream({
    prompt: toPrompt(withCache(forProtocol(messages, endpoint), endpoint)),
    ...(endpoint.maxOutputTokens !== undefined && { maxOutputTokens: endpoint.maxOutputTokens }),
    ...(tools !== undefined && tools.length > 0 && offer(tools, endpoint)),
    abortSignal: signal,
    includeRawChunks: endpoint.type !== 'anthropic',
  });
  const fields = new ReasoningFields();
  const blocks = new Blocks(fields);
  for await (const part of stream) {
    signal.throwIfAborted();
    if (part.type === 'raw') fields.see(part.rawValue);
    else if (isOfBlock(part)) yield* blocks.take(part);
    else if (part.type === 'tool-call') yield callOf(part);
    else if (part.type === 'error') throw part.error;
    else if (part.type === 'finish') {
      const reason = part.finishReason.unified;
      if (reason === 'interrupted' || reason === 'error') break;
      if (fields.details !== undefined) yield { type: 'reasoning', text: '', ...optionsOf(fields.details) };
      yield { type: 'finish', usage: usageOf(part.usage, endpoint), reason };
      return;
    }
  }
  throw new Error('the stream ended before the reply did');
}

/**
 * Adds the names of the server's models to the error, the most similar one first, if it doesn't
 * have the requested one.
 */
async function nameModels(fault: CofferError, endpoint: Endpoint): Promise<CofferError> {
  const { provider, model, baseURL, type, apiKey } = endpoint;
  if (fault.code !== 'MODEL_UNKNOWN' || type === 'anthropic') return fault;
  const models = await modelsOf(baseURL, AbortSignal.timeout(2000), apiKey);
  if (models === undefined || models.length === 0 || models.includes(model)) return fault;
  const some = models.length > 20 ? [...models.slice(0, 20), '…'] : models;
  const near = nearest(model, models);
  return new CofferError('MODEL_UNKNOWN', `${provider} has no model ${quote(model)}`, {
    advice: `${near === undefined ? '' : `did you mean ${near}? `}available: ${some.join(', ')}`,
    said: fault.said,
  });
}

/** Returns the tools of a request. The inputs of calls are validated by whoever runs them. */
function offer(
  tools: readonly OfferedTool[],
  { type }: Endpoint,
): Pick<LanguageModelV4CallOptions, 'tools' | 'toolChoice'> {
  return {
    tools: toTools(tools, type === 'anthropic' ? { providerOptions: CACHED } : {}),
    toolChoice: { type: 'auto' },
  };
}

/** Marks an end of a cached prefix for Anthropic; a request may have at most four. */
const CACHED = { anthropic: { cacheControl: { type: 'ephemeral' } } } as const;

/**
 * Marks what Anthropic may cache in addition to the tools: the system prompt and the last two
 * turns. The mark of the previous turn is where the last request put its own, so everything but the
 * newest messages is read from the cache.
 */
function withCache(messages: readonly Message[], { type }: Endpoint): readonly (Message & FromProvider)[] {
  if (type !== 'anthropic') return messages;
  const asked = [...messages.keys()].filter((at) => /^(user|tool)$/.test(messages[at]?.role ?? ''));
  const ends = new Set([messages.findLastIndex(({ role }) => role === 'system'), ...asked.slice(-2)]);
  return messages.map((message, at) => (ends.has(at) ? { ...message, providerOptions: CACHED } : message));
}

async function languageModel(
  endpoint: Endpoint,
  { fetch, writer }: Pick<Question, 'fetch' | 'writer'>,
): Promise<LanguageModelV4> {
  const { provider, model, type, baseURL, apiKey } = endpoint;
  if (type === 'anthropic') {
    const { createAnthropic } = await import('@ai-sdk/anthropic');
    // Without a key this provider would use ANTHROPIC_API_KEY, whatever server it talks to.
    return createAnthropic({ baseURL, apiKey: apiKey ?? '', fetch })(model);
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const key = apiKey === undefined ? {} : { apiKey };
  const send = type === 'ollama' ? ollamaFetch(fetch, endpoint) : fetch;
  let bytes: Uint8Array<ArrayBuffer> | undefined;
  return createOpenAICompatible({
    name: provider,
    baseURL,
    includeUsage: true,
    ...key,
    // The SDK would serialise the request as a single string, so it gets an empty object, and
    // `fetch` sends our bytes.
    transformRequestBody(body) {
      bytes = writer.write(requestFor(endpoint, body));
      return {};
    },
    fetch: (url, init) => send(url, { ...init, body: bytes ?? null }),
  })(model);
}

function requestFor(endpoint: Endpoint, body: Record<string, unknown>): Record<string, unknown> {
  if (endpoint.type === 'ollama') return ollamaRequest(body, endpoint);
  return isOpenAI(endpoint) ? renameLimit(body) : body;
}

function isOpenAI({ provider, baseURL }: Endpoint): boolean {
  const host = URL.parse(baseURL)?.hostname ?? '';
  return provider === 'openai' || provider === 'azure' || /(^|\.)(openai|azure)\.com$/.test(host);
}

/** OpenAI's reasoning models refuse the old name of the limit, other servers the new one. */
function renameLimit({ max_tokens, ...body }: Record<string, unknown>): Record<string, unknown> {
  return max_tokens === undefined ? body : { ...body, max_completion_tokens: max_tokens };
}

function usageOf(usage: LanguageModelV4Usage, endpoint: Endpoint): Usage {
  const { inputTokens, outputTokens, raw } = usage;
  // The SDK reports 0 for a count that an OpenAI-compatible server omits.
  const given = (name: string): boolean => endpoint.type === 'anthropic' || raw?.[name] != null;
  const known = {
    inputTokens: given('prompt_tokens') ? countOf(inputTokens.total) : null,
    outputTokens: given('completion_tokens') ? countOf(outputTokens.total) : null,
  };
  const cached = countOf(inputTokens.cacheRead) ?? 0;
  return {
    ...known,
    ...(cached > 0 && { cachedTokens: cached }),
    cost: costOf(known, endpoint) ?? reportedCost(raw, endpoint),
  };
}

/** Some servers report -1 or fractions: the count is unknown then. */
function countOf(reported: number | undefined): number | null {
  return Number.isSafeInteger(reported) && Number(reported) >= 0 ? Number(reported) : null;
}

function costOf({ inputTokens, outputTokens }: Omit<Usage, 'cost'>, { price }: Endpoint): number | null {
  if (price === undefined || inputTokens === null || outputTokens === null) return null;
  const cost = (inputTokens * price.input + outputTokens * price.output) / 1_000_000;
  return Number.isFinite(cost) ? cost : null;
}

/**
 * Returns the cost that OpenRouter reports, in US dollars. The units of other servers are unknown.
 */
function reportedCost(raw: LanguageModelV4Usage['raw'], { provider, baseURL }: Endpoint): number | null {
  const isOpenRouter = provider === 'openrouter' || /(^|\.)openrouter\.ai$/.test(URL.parse(baseURL)?.hostname ?? '');
  const cost = raw?.['cost'];
  return isOpenRouter && typeof cost === 'number' && Number.isFinite(cost) && cost >= 0 ? cost : null;
}
