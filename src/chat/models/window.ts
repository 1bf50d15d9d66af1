import { askJson } from './ask.ts';
import { type Endpoint, serverAddress } from './providers.ts';

/** Time limit for asking a server for its context window, in milliseconds. */
const DEADLINE = 2000;

/**
 * Ollama's context window if neither the model nor the user sets a larger one
 * (docs.ollama.com/context-length).
 */
const OLLAMA = 4096;

/**
 * Returns the context window of a model by its name, in tokens; undefined if it isn't known. The
 * name may be preceded by a vendor: `meta-llama/llama-3.3-70b`. From the providers' model lists, as
 * of November 2026.
 */
export function knownWindow(model: string): number | undefined {
  const name = model.toLowerCase().slice(model.lastIndexOf('/') + 1);
  return KNOWN.find(([pattern]) => pattern.test(name))?.[1];
}

const KNOWN: readonly (readonly [RegExp, number])[] = [
  [/^claude-/, 200_000],
  [/^gpt-5/, 400_000],
  [/^gpt-4\.1/, 1_047_576],
  [/^(gpt-4o|gpt-4-turbo|chatgpt-4o)/, 128_000],
  [/^gpt-4-32k/, 32_768],
  [/^gpt-4/, 8192],
  [/^gpt-3\.5-turbo/, 16_385],
  [/^gpt-oss/, 131_072],
  [/^o[134](-|$)/, 200_000],
  [/^gemini-/, 1_048_576],
  [/^deepseek-v4/, 1_048_576],
  [/^deepseek-/, 128_000],
  [/^(mistral-large|mistral-medium|mistral-small|ministral|magistral|devstral|pixtral)/, 128_000],
  [/^codestral/, 256_000],
];

/**
 * Asks the server for the context window that its model is configured with; undefined if it doesn't
 * say. Servers on this machine are asked through the APIs of Ollama, llama.cpp and LM Studio, and
 * like any other for their model list, which includes it for vLLM, OpenRouter and Groq. A provider
 * of type `ollama` is only asked as Ollama, wherever it runs. Never rejects.
 */
export async function askWindow(endpoint: Endpoint, signal: AbortSignal): Promise<number | undefined> {
  const ask = new Asking(endpoint, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE)]));
  for (const answer of waysTo(ask, endpoint)) {
    const tokens = await answer;
    if (Number.isSafeInteger(tokens) && Number(tokens) > 0) return Number(tokens);
  }
  return undefined;
}

function waysTo(ask: Asking, { type, isLocal, contextWindow }: Endpoint): Promise<unknown>[] {
  if (type === 'ollama') return [ollama(ask, contextWindow)];
  return isLocal ? [ollama(ask), llamaCpp(ask), lmStudio(ask), listed(ask)] : [listed(ask)];
}

/** Ollama uses `wanted` tokens if asked to, but never more than the model was trained with. */
async function ollama({ get, model }: Asking, wanted?: number): Promise<unknown> {
  const [running, shown] = await Promise.all([get('/api/ps'), get('/api/show', { model })]);
  const info = fieldOf(shown, 'model_info');
  if (info === undefined) return undefined;
  const names = new Set([model, `${model}:latest`]);
  const loaded = listIn(running, 'models').find((one) => names.has(String(fieldOf(one, 'name'))));
  const [, set] = /^num_ctx\s+(\d+)/m.exec(String(fieldOf(shown, 'parameters'))) ?? [];
  const tokens = wanted ?? fieldOf(loaded, 'context_length') ?? set ?? OLLAMA;
  const [, trained] = Object.entries(Object(info)).find(([name]) => name.endsWith('.context_length')) ?? [];
  return Math.min(Number(tokens), Number(trained) || Infinity);
}

async function llamaCpp({ get }: Asking): Promise<unknown> {
  return fieldOf(fieldOf(await get('/props'), 'default_generation_settings'), 'n_ctx');
}

async function lmStudio({ get, model }: Asking): Promise<unknown> {
  const found = listIn(await get('/api/v0/models'), 'data').find((one) => fieldOf(one, 'id') === model);
  return fieldOf(found, 'loaded_context_length') ?? fieldOf(found, 'max_context_length');
}

async function listed({ list, model }: Asking): Promise<unknown> {
  const found = listIn(await list(), 'data').find((one) => fieldOf(one, 'id') === model);
  return ['max_model_len', 'context_length', 'context_window']
    .map((name) => fieldOf(found, name))
    .find(Number.isFinite);
}

/** Sends questions to one server. */
class Asking {
  readonly model: string;
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal;

  constructor(endpoint: Endpoint, signal: AbortSignal) {
    this.model = endpoint.model;
    this.#endpoint = endpoint;
    this.#signal = signal;
  }

  /** Asks at a path of the server root, outside its `/v1`. */
  readonly get = (path: string, body?: object): Promise<unknown> => {
    return this.#ask(`${serverAddress(this.#endpoint.baseURL)}${path}`, body);
  };

  /** Asks for the model list of the API. */
  readonly list = (): Promise<unknown> => this.#ask(`${this.#base}/models`);

  get #base(): string {
    return this.#endpoint.baseURL.replace(/\/$/, '');
  }

  #ask(url: string, body?: object): Promise<unknown> {
    return askJson(url, { signal: this.#signal, apiKey: this.#endpoint.apiKey, body });
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function listIn(value: unknown, name: string): unknown[] {
  const list = fieldOf(value, name);
  return Array.isArray(list) ? list : [];
}
