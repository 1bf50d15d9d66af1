import { askJson } from './ask.ts';

/** Where local model servers listen unless told otherwise, in the order they are preferred. */
const usualPorts = { ollama: 11434, lmstudio: 1234, llamacpp: 8080 };

/**
 * Looks for a model server on 127.0.0.1 and gives its first chat model as `provider/model`, or
 * undefined. All are asked at once (`GET /v1/models`); among those that answer in time (`deadline`
 * milliseconds, 2,000 unless given) Ollama goes before LM Studio before llama.cpp. Never rejects.
 * `ports` replaces the usual ones.
 */
export async function detectLocal(
  options: { signal?: AbortSignal; ports?: Partial<Record<keyof typeof usualPorts, number>>; deadline?: number } = {},
): Promise<string | undefined> {
  const { signal: given, ports, deadline = 2000 } = options;
  const found = new AbortController();
  const over = [found.signal, AbortSignal.timeout(deadline)];
  const signal = AbortSignal.any(given === undefined ? over : [...over, given]);
  const rows = Object.entries({ ...usualPorts, ...ports });
  const answers = rows.map(([provider, port]) => ask(provider, port, signal));
  try {
    for (const answer of answers) {
      const name = await answer;
      if (name !== undefined) return name;
    }
    return undefined;
  } finally {
    found.abort();
  }
}

async function ask(provider: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  const models = await listModels(`http://127.0.0.1:${port}/v1`, signal);
  const model = models?.find((id) => !/embed/i.test(id));
  return model === undefined ? undefined : `${provider}/${model}`;
}

/** Asks the server at `baseURL` for the names of its models; undefined if none answers before `signal` is aborted. Never rejects. */
export async function listModels(baseURL: string, signal: AbortSignal, apiKey?: string): Promise<string[] | undefined> {
  return modelsIn(await askJson(`${baseURL.replace(/\/$/, '')}/models`, { signal, apiKey }));
}

function modelsIn(list: unknown): string[] | undefined {
  const rows: unknown = typeof list === 'object' && list !== null ? Reflect.get(list, 'data') : undefined;
  if (!Array.isArray(rows)) return undefined;
  const ids: unknown[] = rows.map((row) => row?.id);
  return ids.filter((id): id is string => typeof id === 'string' && /^[!-~]{1,200}$/.test(id));
}
