/** Of an answer, in bytes: a list of hundreds of models has two megabytes. */
const LIMIT = 8 * 1024 * 1024;

/** How to ask; with a `body`, by POST. */
export interface Ask {
  readonly signal: AbortSignal;
  readonly apiKey?: string | undefined;
  readonly body?: object | undefined;
}

/** Asks a model server something beside the chat; undefined if it doesn't answer with JSON before `signal` is aborted. Never rejects. */
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
    // Nothing there, something else there, or too slow: none of them is an answer.
    return undefined;
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > LIMIT) throw new RangeError('too long for an answer');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
