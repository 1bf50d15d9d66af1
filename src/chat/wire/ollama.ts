import { randomUUID } from 'node:crypto';
import { CofferError } from '../../errors.ts';
import { type Endpoint, serverAddress } from '../models/providers.ts';

/*
 * Supports Ollama's own API through the SDK of the OpenAI protocol: the SDK's request is rewritten
 * before it is sent, and the reply as it arrives. Ollama's OpenAI-compatible address has no way to
 * set the context length (ollama/ollama issue 7063), silently truncates longer input, and overrides
 * the sampling configured for a model. Of the two packages for the SDK, ollama-ai-provider-v2 4.0.1
 * turns reasoning off and prints what it can't parse, and ai-sdk-ollama 4.3.0 adds 845 kB.
 */

/** The rewritten parts of a request from the SDK. */
interface OpenAIRequest {
  readonly model: string;
  readonly messages: readonly OpenAIMessage[];
  readonly tools?: readonly object[] | undefined;
  readonly max_tokens?: number | undefined;
}

interface OpenAIMessage {
  readonly role: string;
  readonly content?: string | readonly OpenAIPart[] | null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { name: string; arguments: string } }[];
  readonly tool_call_id?: string;
}

interface OpenAIPart {
  readonly type: string;
  readonly text?: string;
  readonly image_url?: { readonly url: string };
}

/**
 * Rewrites a request for `/api/chat`. Throws `FILES_UNSUPPORTED` for a file that isn't an image.
 * Asks Ollama to reject input that is too long instead of truncating it; older versions truncate it
 * anyway (ollama/ollama pull request 17944).
 */
export function ollamaRequest(body: object, { contextWindow }: Endpoint): Record<string, unknown> {
  const { model, messages, tools, max_tokens } = body as OpenAIRequest;
  const names = new Map<string, string>();
  const options = {
    ...(contextWindow !== undefined && { num_ctx: contextWindow }),
    ...(max_tokens !== undefined && { num_predict: max_tokens }),
  };
  return {
    model,
    messages: messages.map((message) => messageOf(message, names)),
    ...(tools !== undefined && { tools }),
    stream: true,
    truncate: false,
    options,
  };
}

/**
 * Returns a `fetch` for the SDK that sends requests to Ollama's `/api/chat` and converts its
 * replies to the OpenAI protocol.
 */
export function ollamaFetch(fetch: typeof globalThis.fetch, { baseURL }: Endpoint): typeof fetch {
  return async (_, init) => {
    const response = await fetch(`${serverAddress(baseURL)}/api/chat`, init);
    if (!response.ok || response.body === null) return response;
    const events = response.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(linesOf())
      .pipeThrough(eventsOf())
      .pipeThrough(new TextEncoderStream());
    return new Response(events, { status: response.status, headers: { 'content-type': 'text/event-stream' } });
  };
}

function messageOf(message: OpenAIMessage, names: Map<string, string>): object {
  const { role, content, reasoning_content, tool_calls, tool_call_id } = message;
  const calls = tool_calls?.map(({ id, function: { name, arguments: input } }) => {
    names.set(id, name);
    return { id, type: 'function', function: { name, arguments: JSON.parse(input) } };
  });
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
  const images = parts.filter(({ type }) => type !== 'text').map(imageIn);
  return {
    role,
    content: parts.flatMap(({ type, text }) => (type === 'text' ? [text] : [])).join('\n\n'),
    ...(images.length > 0 && { images }),
    ...(reasoning_content && { thinking: reasoning_content }),
    ...(calls !== undefined && { tool_calls: calls }),
    ...(tool_call_id !== undefined && { tool_call_id, tool_name: names.get(tool_call_id) }),
  };
}

function imageIn({ image_url }: OpenAIPart): string {
  const [, base64] = /^data:image\/[^,]*;base64,(.*)$/s.exec(image_url?.url ?? '') ?? [];
  if (base64 === undefined) {
    throw new CofferError('FILES_UNSUPPORTED', 'Ollama does not accept such files', {
      advice: 'choose another model with /model',
    });
  }
  return base64;
}

function linesOf(): TransformStream<string, string> {
  let rest = '';
  return new TransformStream({
    transform(piece, controller) {
      const lines = `${rest}${piece}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') controller.enqueue(line);
    },
    flush(controller) {
      if (rest.trim() !== '') controller.enqueue(rest);
    },
  });
}

/** A line of a reply, if it is valid; the SDK detects anything that isn't. */
interface OllamaLine {
  readonly error?: unknown;
  readonly message?: {
    readonly content?: unknown;
    readonly thinking?: unknown;
    readonly tool_calls?: readonly { id?: string; function?: { name?: unknown; arguments?: unknown } }[];
  };
  readonly done?: boolean;
  readonly done_reason?: string;
  readonly prompt_eval_count?: number;
  readonly eval_count?: number;
}

/** Parses a line; undefined if it is not JSON, which the SDK detects as in any other protocol. */
function lineIn(json: string): OllamaLine | undefined {
  try {
    return Object(JSON.parse(json));
  } catch {
    return undefined;
  }
}

function eventsOf(): TransformStream<string, string> {
  let calls = 0;
  return new TransformStream({
    transform(json, controller) {
      const line = lineIn(json);
      if (line === undefined) return controller.enqueue(`data: ${json}\n\n`);
      const { error, message, done, done_reason, prompt_eval_count, eval_count } = line;
      const send = (event: object): void => controller.enqueue(`data: ${JSON.stringify(event)}\n\n`);
      if (error !== undefined) return send({ error: { message: String(error), type: 'server_error' } });
      const tool_calls = message?.tool_calls?.map((call) => ({
        index: calls++,
        id: call.id || `call_${randomUUID()}`,
        type: 'function',
        function: { name: call.function?.name, arguments: JSON.stringify(call.function?.arguments ?? {}) },
      }));
      const delta = { role: 'assistant', content: message?.content, reasoning: message?.thinking, tool_calls };
      const finish_reason = done === true ? (calls > 0 ? 'tool_calls' : (done_reason ?? 'stop')) : null;
      const usage = { prompt_tokens: prompt_eval_count, completion_tokens: eval_count };
      send({ choices: [{ index: 0, delta, finish_reason }], ...(done === true && { usage }) });
    },
  });
}
