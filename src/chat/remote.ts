import type { LanguageModel, LanguageModelUsage, ModelMessage, ToolSet } from 'ai';
import { CofferError } from '../errors.ts';
import type { Message, Usage } from '../session/event.ts';
import { listModels } from './detect.ts';
import { cancelled, explain } from './faults.ts';
import { type Endpoint, quote } from './providers.ts';
import type { ChatModel, OfferedTool, ReplyPart } from './reply.ts';

/**
 * Gives the model behind an endpoint. The SDK is imported at the first reply. Requests go to the
 * endpoint and nowhere else: no redirect is followed, no file fetched, no telemetry sent, and nothing
 * is tried twice. Tools are offered and never run here.
 */
export function remoteModel(endpoint: Endpoint): ChatModel {
  return {
    name: `${endpoint.provider}/${endpoint.model}`,
    isLocal: endpoint.isLocal,
    contextWindow: endpoint.contextWindow,
    reply: (messages, signal, tools) => replyOf(endpoint, { messages, tools }, signal),
  };
}

/** What is asked. */
interface Question {
  readonly messages: readonly Message[];
  readonly tools: readonly OfferedTool[] | undefined;
}

async function* replyOf(
  endpoint: Endpoint,
  question: Question,
  signal: AbortSignal,
): AsyncGenerator<ReplyPart, void, undefined> {
  const left = new AbortController();
  let begun = false;
  try {
    for await (const part of request(endpoint, question, AbortSignal.any([signal, left.signal]))) {
      begun = true;
      yield part;
    }
  } catch (error) {
    throw signal.aborted ? cancelled() : await nameModels(explain(error, endpoint, begun), endpoint);
  } finally {
    left.abort();
  }
}

async function* request(
  endpoint: Endpoint,
  { messages, tools }: Question,
  signal: AbortSignal,
): AsyncGenerator<ReplyPart, void, undefined> {
  const { streamText } = await sdk();
  signal.throwIfAborted();
  const result = streamText({
    model: await languageModel(endpoint),
    messages: messages.filter(saysSomething) as ModelMessage[],
    ...(tools === undefined || tools.length === 0 ? {} : { tools: await offer(tools) }),
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
    else if (part.type === 'tool-call') yield callOf(part);
    else if (part.type === 'error') throw part.error;
    else if (part.type === 'abort') signal.throwIfAborted();
    else if (part.type === 'finish-step') usage = usageOf(part.usage, endpoint);
    else if (part.type === 'finish') {
      const reason: string = part.finishReason;
      if (reason === 'interrupted' || reason === 'error') break;
      yield { type: 'finish', usage, reason };
      return;
    }
  }
  throw new Error('the stream ended before the reply did');
}

/** Says of a server on this machine which models it has, where it has not the one that was asked for. */
async function nameModels(fault: CofferError, { provider, model, baseURL, isLocal }: Endpoint): Promise<CofferError> {
  if (fault.code !== 'MODEL_UNKNOWN' || !isLocal) return fault;
  const models = await listModels(baseURL, AbortSignal.timeout(1000));
  if (models === undefined || models.length === 0 || models.includes(model)) return fault;
  const some = models.length > 20 ? [...models.slice(0, 20), '…'] : models;
  return new CofferError('MODEL_UNKNOWN', `${provider} has no model ${quote(model)}`, {
    advice: `it has ${some.join(', ')}`,
  });
}

async function sdk(): Promise<typeof import('ai')> {
  const ai = await import('ai');
  globalThis.AI_SDK_LOG_WARNINGS = false;
  return ai;
}

/** Without anything to execute, so that the SDK ends with the calls. Their input is checked by whoever runs them. */
async function offer(tools: readonly OfferedTool[]): Promise<ToolSet> {
  const { jsonSchema, tool } = await sdk();
  const offered: ToolSet = {};
  for (const { name, description, inputSchema } of tools) {
    offered[name] = tool({ description, inputSchema: jsonSchema<unknown>(inputSchema) }) as ToolSet[string];
  }
  return offered;
}

function callOf(part: { toolCallId: string; toolName: string; input: unknown }): ReplyPart {
  const { toolCallId, toolName } = part;
  return { type: 'tool-call', toolCallId, toolName, input: unfit(part.input) ?? part.input };
}

/** How deep the input of a call may be nested: what writes it down recurses, and no tool wants more. */
const DEPTH = 64;

/** Says what keeps the input of a call, as JSON.parse made it, from being written down; undefined if nothing does. */
function unfit(input: unknown): string | undefined {
  let level = [input];
  for (let depth = 0; level.length > 0; depth++) {
    // JSON.parse makes Infinity of 1e999.
    if (level.some((value) => typeof value === 'number' && !Number.isFinite(value)))
      return 'input with too large a number';
    const nested = level.filter((value) => typeof value === 'object' && value !== null);
    if (nested.length > 0 && depth === DEPTH) return `input nested deeper than ${DEPTH} levels`;
    level = nested.flatMap((value): unknown[] => Object.values(value as object));
  }
  return undefined;
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

function usageOf({ inputTokens, outputTokens, raw }: LanguageModelUsage, endpoint: Endpoint): Usage {
  // The SDK makes 0 of a count that an OpenAI-compatible server leaves out.
  const given = (name: string): boolean => endpoint.type === 'anthropic' || raw?.[name] != null;
  const known = {
    inputTokens: given('prompt_tokens') ? countOf(inputTokens) : null,
    outputTokens: given('completion_tokens') ? countOf(outputTokens) : null,
  };
  return { ...known, cost: costOf(known, endpoint) ?? reportedCost(raw, endpoint) };
}

/** Some servers report -1, or one and a half tokens: then it is not known how many there were. */
function countOf(reported: number | undefined): number | null {
  return Number.isSafeInteger(reported) && Number(reported) >= 0 ? Number(reported) : null;
}

function costOf({ inputTokens, outputTokens }: Omit<Usage, 'cost'>, { price }: Endpoint): number | null {
  if (price === undefined || inputTokens === null || outputTokens === null) return null;
  const cost = (inputTokens * price.input + outputTokens * price.output) / 1_000_000;
  return Number.isFinite(cost) ? cost : null;
}

/** OpenRouter says what a request cost, in US dollars; of others it is not known in what they count. */
function reportedCost(raw: LanguageModelUsage['raw'], { provider, baseURL }: Endpoint): number | null {
  const isOpenRouter = provider === 'openrouter' || /(^|\.)openrouter\.ai$/.test(URL.parse(baseURL)?.hostname ?? '');
  const cost = raw?.['cost'];
  return isOpenRouter && typeof cost === 'number' && Number.isFinite(cost) && cost >= 0 ? cost : null;
}
