import { CofferError } from '../../errors.ts';
import { nearest } from './nearest.ts';

/**
 * The protocol of a provider: OpenAI's, Anthropic's, or Ollama's own API (served next to its
 * `/v1`).
 */
export type Protocol = 'openai-compatible' | 'anthropic' | 'ollama';

/**
 * The settings of a provider. `apiKeyEnv` is the *name* of the environment variable that holds its
 * key.
 */
export interface ProviderSettings {
  /** Default: `openai-compatible`. */
  type?: Protocol | undefined;
  /** The base address of its API, including the version: `http://127.0.0.1:11434/v1`. */
  baseURL?: string | undefined;
  apiKeyEnv?: string | undefined;
  /**
   * Send the key over `http://` to another machine, where anyone on the way can read it. Default:
   * false.
   */
  allowInsecure?: boolean | undefined;
  /**
   * Tokens its models accept in one request; Ollama is asked for a context of this size. Default:
   * what the server reports or is known about the model, else 128,000.
   */
  contextWindow?: number | undefined;
  /**
   * Most tokens of a reply, including reasoning. Default: the provider's own limit; with
   * Anthropic's protocol, 4,096 for a model that the bundled SDK doesn't know.
   */
  maxOutputTokens?: number | undefined;
  /** Overrides for single models, by model name. */
  models?: Readonly<Record<string, ModelSettings>> | undefined;
  /** Prices of its models, by model name. */
  prices?: Readonly<Record<string, Price>> | undefined;
}

/** The settings of one model. They take precedence over those of its provider. */
export interface ModelSettings {
  readonly contextWindow?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
}

/** US dollars per million tokens. */
export interface Price {
  readonly input: number;
  readonly output: number;
}

/** The providers that need no settings. Settings of the same name override them key by key. */
export const builtinProviders: Readonly<Record<string, ProviderSettings>> = {
  ollama: { type: 'ollama', baseURL: 'http://127.0.0.1:11434/v1' },
  lmstudio: { baseURL: 'http://127.0.0.1:1234/v1' },
  llamacpp: { baseURL: 'http://127.0.0.1:8080/v1' },
  vllm: { baseURL: 'http://127.0.0.1:8000/v1' },
  openai: { baseURL: 'https://api.openai.com/v1', apiKeyEnv: 'OPENAI_API_KEY' },
  openrouter: { baseURL: 'https://openrouter.ai/api/v1', apiKeyEnv: 'OPENROUTER_API_KEY' },
  anthropic: { type: 'anthropic', baseURL: 'https://api.anthropic.com/v1', apiKeyEnv: 'ANTHROPIC_API_KEY' },
};

/** A provider and model, with everything a request needs. */
export interface Endpoint {
  provider: string;
  model: string;
  type: Protocol;
  baseURL: string;
  /** Undefined if the provider needs none, like local servers. */
  apiKey: string | undefined;
  apiKeyEnv: string | undefined;
  /** Whether it is on this machine. */
  isLocal: boolean;
  /** Undefined if not set in the settings. */
  contextWindow: number | undefined;
  /** Undefined for the provider's own limit. */
  maxOutputTokens: number | undefined;
  /** Undefined if the price is unknown. */
  price: Price | undefined;
}

/**
 * Splits `provider/model` at its first slash; the model part may contain more of them. Throws
 * `MODEL_UNKNOWN` if the name does not have this form.
 */
export function parseModelName(name: string): { provider: string; model: string } {
  const [, provider, model] = /^([A-Za-z0-9][A-Za-z0-9._-]*)\/(\P{C}*[^\s\p{C}])$/u.exec(name.trim()) ?? [];
  if (provider === undefined || model === undefined) {
    throw new CofferError('MODEL_UNKNOWN', `${quote(name)} does not name a model`, {
      advice: 'write provider/model, for example ollama/qwen3',
    });
  }
  return { provider, model };
}

/**
 * Finds the endpoint of a model. Throws `MODEL_UNKNOWN` for a provider that neither coffer nor the
 * settings know, `MODEL_KEY_MISSING` (naming the variable) if its key is not in `env`, and
 * `SETTINGS_INVALID` for a provider without an address, or if its key would be sent unencrypted to
 * another machine and `allowInsecure` is not set.
 */
export function findEndpoint(
  name: string,
  providers: Readonly<Record<string, ProviderSettings>>,
  env: NodeJS.ProcessEnv,
): Endpoint {
  const { provider, model } = parseModelName(name);
  const ours = Object.hasOwn(builtinProviders, provider) ? builtinProviders[provider] : undefined;
  const theirs = Object.hasOwn(providers, provider) ? providers[provider] : undefined;
  if (ours === undefined && theirs === undefined) {
    const known = [...new Set(['demo', ...Object.keys(builtinProviders), ...Object.keys(providers)])].sort();
    const near = nearest(provider, known);
    throw new CofferError('MODEL_UNKNOWN', `unknown provider ${provider} in ${quote(name)}`, {
      advice: `${near === undefined ? '' : `did you mean ${near}/${model}? `}known: ${known.join(', ')}`,
    });
  }
  const baseURL = theirs?.baseURL ?? ours?.baseURL;
  if (baseURL === undefined || !isBaseURL(baseURL)) {
    throw new CofferError('SETTINGS_INVALID', `provider ${provider} needs a baseURL in the settings`);
  }
  const apiKeyEnv = theirs?.apiKeyEnv ?? ours?.apiKeyEnv;
  if (apiKeyEnv !== undefined && theirs?.allowInsecure !== true) requireSecure(provider, baseURL);
  const prices = theirs?.prices ?? {};
  const models = theirs?.models ?? {};
  const own = Object.hasOwn(models, model) ? models[model] : undefined;
  return {
    provider,
    model,
    type: theirs?.type ?? ours?.type ?? 'openai-compatible',
    baseURL,
    apiKey: apiKeyEnv === undefined ? undefined : readKey(name, apiKeyEnv, env),
    apiKeyEnv,
    isLocal: isLoopback(baseURL),
    contextWindow: own?.contextWindow ?? theirs?.contextWindow,
    maxOutputTokens: own?.maxOutputTokens ?? theirs?.maxOutputTokens,
    price: Object.hasOwn(prices, model) ? prices[model] : undefined,
  };
}

/**
 * Tells whether everything sent to a model stays on this machine: true for embedded models and
 * loopback addresses. Undefined for an invalid name or an unknown provider.
 */
export function isLocalModel(name: string, providers: Readonly<Record<string, ProviderSettings>>): boolean | undefined {
  const provider = name.split('/')[0] ?? '';
  if (provider === 'demo') return true;
  const ours = Object.hasOwn(builtinProviders, provider) ? builtinProviders[provider] : undefined;
  const theirs = Object.hasOwn(providers, provider) ? providers[provider] : undefined;
  const baseURL = theirs?.baseURL ?? ours?.baseURL;
  return baseURL === undefined || !URL.canParse(baseURL) ? undefined : isLoopback(baseURL);
}

/** Tells whether an address belongs to this machine, by its name alone: no name is looked up. */
export function isLoopback(baseURL: string): boolean {
  const host = URL.parse(baseURL)?.hostname ?? '';
  return /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\]|\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\])$/.test(host);
}

/** Returns the root address of a server: `baseURL` without the trailing `/v1`. */
export function serverAddress(baseURL: string): string {
  return baseURL.replace(/\/$/, '').replace(/\/v1$/, '');
}

/**
 * Quotes user input for a message: control characters are escaped, and more than 80 characters are
 * cut off.
 */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function requireSecure(provider: string, baseURL: string): void {
  if (URL.parse(baseURL)?.protocol === 'https:' || isLoopback(baseURL)) return;
  throw new CofferError('SETTINGS_INVALID', `provider ${provider} would send its API key unencrypted to ${baseURL}`, {
    advice: `use https://, or set providers.${provider}.allowInsecure to true`,
  });
}

// A key with a line break in it would be quoted in the error of the header that rejects it.
function readKey(name: string, variable: string, env: NodeJS.ProcessEnv): string {
  const key = env[variable]?.trim();
  if (key === undefined || key === '') {
    throw new CofferError(
      'MODEL_KEY_MISSING',
      `${quote(name)} needs an API key in the environment variable ${variable}`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new CofferError(
      'MODEL_KEY_MISSING',
      `the environment variable ${variable} does not hold an API key: check it`,
    );
  }
  return key;
}

/**
 * Tells whether a text is a valid base URL: an http or https address without a user, a query or a
 * fragment.
 */
export function isBaseURL(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return false;
  return `${url.username}${url.password}${url.search}${url.hash}` === '';
}
