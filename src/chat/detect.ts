/** Where local model servers listen unless told otherwise, in the order they are preferred. */
const usualPorts = { ollama: 11434, lmstudio: 1234, llamacpp: 8080 };
const DEADLINE = 300;
const BODY_LIMIT = 1024 * 1024;

/**
 * Looks for a model server on 127.0.0.1 and gives its first chat model as `provider/model`, or
 * undefined. All are asked at once (`GET /v1/models`); among those that answer within 300 ms Ollama
 * goes before LM Studio before llama.cpp. Never rejects. `ports` is for tests.
 */
export async function detectLocal(
  options: { signal?: AbortSignal; ports?: Partial<Record<keyof typeof usualPorts, number>> } = {},
): Promise<string | undefined> {
  const found = new AbortController();
  const signals = [
    found.signal,
    AbortSignal.timeout(DEADLINE),
    ...(options.signal === undefined ? [] : [options.signal]),
  ];
  const signal = AbortSignal.any(signals);
  const asked = Object.entries({ ...usualPorts, ...options.ports }).map(([provider, port]) =>
    ask(provider, port, signal),
  );
  try {
    for (const answer of asked) {
      const name = await answer;
      if (name !== undefined) return name;
    }
    return undefined;
  } finally {
    found.abort();
  }
}

async function ask(provider: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/v1/models`, { signal, redirect: 'error' });
    if (!response.ok) return undefined;
    const model = firstChatModel(JSON.parse(await readText(response)));
    return model === undefined ? undefined : `${provider}/${model}`;
  } catch {
    // Nothing there, something else there, or too slow: none of them is a model server to offer.
    return undefined;
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > BODY_LIMIT) throw new RangeError('too long for a list of models');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function firstChatModel(list: unknown): string | undefined {
  const rows: unknown = typeof list === 'object' && list !== null ? Reflect.get(list, 'data') : undefined;
  if (!Array.isArray(rows)) return undefined;
  const ids: unknown[] = rows.map((row) => row?.id);
  return ids.find((id): id is string => typeof id === 'string' && /^[!-~]{1,200}$/.test(id) && !/embed/i.test(id));
}
