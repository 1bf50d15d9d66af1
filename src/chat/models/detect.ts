import { askJson } from './ask.ts';

/** Default ports of local model servers, in order of preference. */
const usualPorts = { ollama: 11434, lmstudio: 1234, llamacpp: 8080 };

/**
 * Looks for a model server on 127.0.0.1 and returns its first chat model as `provider/model`, or
 * undefined. All ports are queried at once (`GET /v1/models`). Of the servers that answer within
 * `deadline` milliseconds (default: 2,000), Ollama is preferred to LM Studio, and LM Studio to
 * llama.cpp. `ports` overrides the default ports. Never rejects.
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
  const models = await modelsOf(`http://127.0.0.1:${port}/v1`, signal);
  const model = models?.find((id) => !/embed/i.test(id));
  return model === undefined ? undefined : `${provider}/${model}`;
}

/**
 * Returns the names of the models that the server at `baseURL` lists, or undefined if there is no
 * answer before `signal` is aborted. Never rejects.
 */
export async function modelsOf(baseURL: string, signal: AbortSignal, apiKey?: string): Promise<string[] | undefined> {
  return modelsIn(await askJson(`${baseURL.replace(/\/$/, '')}/models`, { signal, apiKey }));
}

function modelsIn(list: unknown): string[] | undefined {
  const rows: unknown = typeof list === 'object' && list !== null ? Reflect.get(list, 'data') : undefined;
  if (!Array.isArray(rows)) return undefined;
  const ids: unknown[] = rows.map((row) => row?.id);
  return ids.filter((id): id is string => typeof id === 'string' && /^[!-~]{1,200}$/.test(id));
}
