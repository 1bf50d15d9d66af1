import { CofferError, isCofferError } from '../../errors.ts';
import { redactSecrets } from '../../session/change/secrets.ts';
import { type Endpoint, quote } from '../models/providers.ts';
import { askedFor, type retryIn } from './retry.ts';

/**
 * Explains in one line why a request failed and what to do: `MODEL_REFUSED` (401, 403),
 * `MODEL_UNKNOWN` (404), `MODEL_LIMITED` (429), `MODEL_UNREACHABLE`, `TOOLS_UNSUPPORTED` if the
 * model does not support tools, `FILES_UNSUPPORTED` if it does not support the files,
 * `CONTEXT_TOO_LONG` if the conversation exceeds its context window, else `MODEL_FAILED`. The
 * message contains only numbers and the code word from the server's response. The server's own
 * words, which may quote keys, are in `said`; see {@link wordsIn}. `begun` tells whether part of
 * the reply had arrived.
 */
export function explain(error: unknown, endpoint: Endpoint, begun: boolean): CofferError {
  const own = ownErrorIn(error);
  if (own !== undefined) return own;
  if (error instanceof Error && error.name === 'AI_UnsupportedFunctionalityError') {
    const advice = 'choose another model with /model';
    return new CofferError('FILES_UNSUPPORTED', `${nameOf(endpoint)} does not accept such files`, { advice });
  }
  const status = statusOf(error);
  if (status !== undefined) return explainStatus(status, error, endpoint);
  const cause = networkErrorOf(error);
  const why = cause === undefined ? '' : ` (${cause.code})`;
  if (/^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(String(cause?.code))) {
    const what = `${endpoint.provider} at ${endpoint.baseURL} timed out`;
    const advice = 'ask again, or raise requestTimeout in the settings';
    return new CofferError(begun ? 'MODEL_FAILED' : 'MODEL_UNREACHABLE', what, { advice, cause });
  }
  if (begun) {
    const what = `the reply of ${nameOf(endpoint)} broke off${why}`;
    return new CofferError('MODEL_FAILED', what, { advice: 'ask again', cause });
  }
  if (cause !== undefined || isRequestError(error)) {
    const what = `cannot reach ${endpoint.provider} at ${endpoint.baseURL}${why}`;
    const advice = 'check that it is running and that baseURL is correct';
    return new CofferError('MODEL_UNREACHABLE', what, { advice, cause });
  }
  const what = `the response of ${endpoint.provider} at ${endpoint.baseURL} is not a reply`;
  return new CofferError('MODEL_FAILED', what, { advice: 'check baseURL' });
}

/** Returns the error for a reply that is no longer wanted: `CANCELLED`. */
export function cancelled(): CofferError {
  return new CofferError('CANCELLED', 'the reply was cancelled');
}

/** Returns what decides whether a request is retried. */
export function answerIn(error: unknown): Parameters<typeof retryIn>[0] {
  return { status: statusOf(error), headers: fieldOf(error, 'responseHeaders'), word: codeWordOf(error) };
}

/**
 * Matches refusals of tools. No server has a code word for them; these are the phrases of Ollama,
 * LM Studio and OpenRouter, and of vLLM and llama.cpp started without a parser for tool calls
 * (vllm-project/vllm issue 9986, ggml-org/llama.cpp issue 10920, defilantech/LLMKube issue 126).
 */
const toolRefusal =
  /(?:not|n't|that) support\w* (?:\w+ ){0,3}tool|tools? (?:\w+ ){0,2}(?:is|are) not (?:supported|enabled)|tool choice requires|tools param requires|unsupported param: tools/i;

/**
 * Matches the phrases of OpenAI, Anthropic, Ollama, llama.cpp, vLLM, OpenRouter, Groq and DeepSeek
 * for an image or a PDF that the model doesn't support.
 */
const fileRefusal =
  /(?:not|n't|no endpoints? found that|only) support\w* (?:[\w-]+ ){0,4}(?:images?|vision|files?|pdfs?|documents?|multimodal|text content)|(?:image|image_url|file|vision|multimodal|pdf|document)\w*[ '"`]*(?:[\w-]+ ){0,4}(?:is|are) (?:not|un)\s?(?:supported|enabled|allowed)|unknown variant `image_url`|not a multimodal model|content must be a string/i;

/**
 * Matches the phrases of Anthropic, llama.cpp, vLLM and LM Studio for a request that exceeds the
 * context window.
 */
const tooLong =
  /prompt is too long|maximum context length|exceeds? the (?:available )?context|context (?:length|size|window) (?:of|exceeded)/i;

function explainStatus(status: number, error: unknown, endpoint: Endpoint): CofferError {
  const { provider, model, baseURL, apiKeyEnv, apiKey } = endpoint;
  const word = codeWordOf(error);
  const said = wordsIn(error, apiKey);
  const why = word === undefined ? `${status}` : `${status}, ${word}`;
  const answer = String(fieldOf(error, 'responseBody'));
  if (toolRefusal.test(answer)) {
    const advice = 'set tools to false in the settings, or choose another model with /model';
    return new CofferError('TOOLS_UNSUPPORTED', `${nameOf(endpoint)} does not support tools (${why})`, {
      advice,
      said,
    });
  }
  if (fileRefusal.test(answer) && status >= 400 && status <= 500) {
    const advice = 'choose another model with /model';
    return new CofferError('FILES_UNSUPPORTED', `${nameOf(endpoint)} does not accept files (${why})`, { advice, said });
  }
  if (status === 401 || status === 403) {
    const advice =
      apiKeyEnv === undefined
        ? `set apiKeyEnv of ${provider} in the settings to the environment variable that holds its key`
        : `check the key in the environment variable ${apiKeyEnv}`;
    return new CofferError('MODEL_REFUSED', `${provider} refused the request (${why})`, { advice, said });
  }
  if (status === 404 || word === 'model_not_found') {
    const what = `${provider} at ${baseURL} has no model ${quote(model)} (${why})`;
    return new CofferError('MODEL_UNKNOWN', what, { advice: 'check the name and baseURL', said });
  }
  if (word === 'context_length_exceeded' || tooLong.test(answer)) {
    const what = `the conversation is too long for ${nameOf(endpoint)} (${why})`;
    return new CofferError('CONTEXT_TOO_LONG', what, { advice: 'shorten it with /compact', said });
  }
  if (status === 429) {
    const what = `${provider} accepts no more requests for now (${why})`;
    return new CofferError('MODEL_LIMITED', what, { advice: retryOf(error), said });
  }
  if (status >= 300 && status < 400) {
    const what = `${provider} at ${baseURL} redirects to another address (${why})`;
    return new CofferError('MODEL_FAILED', what, { advice: 'set baseURL to the address it redirects to', said });
  }
  const advice = 'ask again or choose another model with /model';
  return new CofferError('MODEL_FAILED', `${nameOf(endpoint)} failed (${why})`, { advice, said });
}

/**
 * Returns the HTTP status: that of the response, or of an error event in a stream, which has it as
 * `code` or as a word.
 */
function statusOf(error: unknown): number | undefined {
  for (const name of ['statusCode', 'status', 'code']) {
    const value = Number(fieldOf(error, name));
    if (Number.isInteger(value) && value >= 300 && value < 600) return value;
  }
  return wordStatus.get(codeWordOf(error) ?? '');
}

const wordStatus: ReadonlyMap<string, number> = new Map([
  ['rate_limit_error', 429],
  ['rate_limit_exceeded', 429],
  ['authentication_error', 401],
  ['invalid_api_key', 401],
  ['permission_error', 403],
  ['server_error', 500],
  ['api_error', 500],
  ['overloaded_error', 529],
]);

/** Returns the machine-readable word of an API error, such as `context_length_exceeded`. */
function codeWordOf(error: unknown): string | undefined {
  const details = fieldOf(fieldOf(error, 'data'), 'error') ?? fieldOf(error, 'data') ?? error;
  return [fieldOf(details, 'code'), fieldOf(details, 'type')].find(
    (word): word is string => typeof word === 'string' && /^[a-z]+(_[a-z]+)+$/.test(word) && word.length <= 40,
  );
}

function retryOf(error: unknown): string {
  const seconds = askedFor(fieldOf(error, 'responseHeaders'));
  return seconds === undefined ? 'ask again later' : `ask again in ${Math.ceil(seconds)} s`;
}

/** Longest quotation of a provider's words, in characters. */
const WORDS = 300;

/**
 * Returns the first line of a server's error text, at most {@link WORDS} characters; undefined if
 * there is none. `apiKey` and everything that looks like a key or token is redacted. The caller
 * must escape control characters before showing it.
 */
function wordsIn(error: unknown, apiKey: string | undefined): string | undefined {
  const data = fieldOf(error, 'data') ?? bodyOf(error) ?? error;
  const inner = fieldOf(data, 'error') ?? data;
  const given = [fieldOf(inner, 'message'), inner, fieldOf(data, 'message'), fieldOf(data, 'detail')];
  const words = given.find((text): text is string => typeof text === 'string' && text.trim() !== '');
  if (words === undefined) return undefined;
  const known = apiKey === undefined ? words : words.replaceAll(apiKey, '[redacted]');
  const [line = ''] = redactSecrets(known.trim()).value.split(/\r\n|[\n\r\u2028\u2029]/);
  return line.length > WORDS ? `${line.slice(0, WORDS - 1).toWellFormed()}…` : line;
}

/**
 * Parses the body of an error that does not have the form of its protocol, which the SDK does not
 * read.
 */
function bodyOf(error: unknown): unknown {
  try {
    return JSON.parse(String(fieldOf(error, 'responseBody')));
  } catch {
    return undefined; // a web page, or empty
  }
}

/** Returns coffer's own error, which the SDK may have wrapped. */
function ownErrorIn(error: unknown): CofferError | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth++) {
    if (isCofferError(current)) return current;
  }
  return undefined;
}

/**
 * Returns the system's or the HTTP client's error at the bottom of the chain. It contains nothing
 * but addresses.
 */
function networkErrorOf(error: unknown): NodeJS.ErrnoException | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth++) {
    if (/^(E[A-Z]{3}|UND_ERR_|ERR_|CERT_|DEPTH_|SELF_|UNABLE_)/.test(String(fieldOf(current, 'code')))) return current;
  }
  return undefined;
}

// The SDK's error for a request that got no response has the request's address but no status.
function isRequestError(error: unknown): boolean {
  return error instanceof Error && 'url' in error;
}

function nameOf({ provider, model }: Endpoint): string {
  return quote(`${provider}/${model}`);
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
