/** Largest response that is read, in bytes: a list of hundreds of models takes two megabytes. */
const LIMIT = 8 * 1024 * 1024;

/** Options of {@link askJson}. A request with a `body` uses POST. */
export interface Ask {
  readonly signal: AbortSignal;
  readonly apiKey?: string | undefined;
  readonly body?: object | undefined;
}

/**
 * Requests JSON from a model server, apart from the chat. Returns undefined if the server does not
 * answer with JSON before `signal` is aborted. Never rejects.
 */
export async function askJson(url: string, { signal, apiKey, body }: Ask): Promise<unknown> {
  const headers = {
    ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  };
  const method = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  try {
    const response = await fetch(url, { ...method, headers, redirect: 'error', signal });
    return response.ok ? JSON.parse(await readText(response)) : undefined;
  } catch {
    // Nothing is listening, something else is, or it is too slow: none of these counts as an
    // answer.
    return undefined;
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > LIMIT) throw new RangeError('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
