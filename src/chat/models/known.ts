import { demoModels } from './demo.ts';
import { modelsOf } from './detect.ts';
import { builtinProviders, isLoopback, type ProviderSettings } from './providers.ts';

/** A provider, and what is known about it without contacting other machines. */
export interface KnownProvider {
  readonly provider: string;
  /** Undefined for the embedded provider, and if the settings omit it. */
  readonly baseURL: string | undefined;
  readonly isLocal: boolean;
  /**
   * The environment variable for its key, and whether it is set; undefined if the provider needs no
   * key.
   */
  readonly key: { readonly variable: string; readonly isSet: boolean } | undefined;
  /**
   * Models as `provider/model`: embedded ones, those with a price in the settings, and those listed
   * by a server on this machine.
   */
  readonly models: readonly string[];
  /**
   * Whether its server on this machine answered; undefined for other providers, which are not
   * asked.
   */
  readonly answers: boolean | undefined;
}

/**
 * Lists the providers and the models that can be found without contacting other machines. Only
 * servers on this machine are asked (`GET /models`), all at once, with `deadline` milliseconds each
 * (default: 1,000). Never rejects.
 */
export async function knownModels(options: {
  providers: Readonly<Record<string, ProviderSettings>>;
  env: NodeJS.ProcessEnv;
  deadline?: number;
}): Promise<KnownProvider[]> {
  const { providers, env, deadline = 1000 } = options;
  const names = [...new Set([...Object.keys(builtinProviders), ...Object.keys(providers)])].sort();
  const rows = names.map(async (provider): Promise<KnownProvider> => {
    const theirs = Object.hasOwn(providers, provider) ? providers[provider] : undefined;
    const { baseURL, apiKeyEnv, prices = {} } = { ...builtinProviders[provider], ...defined(theirs) };
    const isLocal = baseURL !== undefined && isLoopback(baseURL);
    const key = apiKeyEnv === undefined ? undefined : { variable: apiKeyEnv, isSet: Boolean(env[apiKeyEnv]?.trim()) };
    const listed = isLocal ? await modelsOf(baseURL, AbortSignal.timeout(deadline)) : undefined;
    const models = [...new Set([...Object.keys(prices), ...(listed ?? [])])].map((model) => `${provider}/${model}`);
    return { provider, baseURL, isLocal, key, models, answers: isLocal ? listed !== undefined : undefined };
  });
  return [embedded, ...(await Promise.all(rows))];
}

const embedded: KnownProvider = {
  provider: 'demo',
  baseURL: undefined,
  isLocal: true,
  key: undefined,
  models: demoModels,
  answers: undefined,
};

function defined(settings: ProviderSettings = {}): ProviderSettings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
