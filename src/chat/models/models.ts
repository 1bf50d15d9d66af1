import type { ChatModel } from '../reply.ts';
import { demoModel } from './demo.ts';
import { findEndpoint, type ProviderSettings, parseModelName } from './providers.ts';

export type { ChatModel, ReplyPart } from '../reply.ts';
export { type Checked, checkModel } from './check.ts';
export { detectLocal } from './detect.ts';
export { type KnownProvider, knownModels } from './known.ts';
export { builtinProviders, isLocalModel, type ProviderSettings, parseModelName } from './providers.ts';

/**
 * Opens a model by its name, `provider/model`. No request is sent before its first reply.
 * `providers` are those of the settings; keys are read from `env` here, once. `requestTimeout` is
 * how many milliseconds a remote provider may send nothing (default: 10 minutes); a server on this
 * machine has no limit. Throws `MODEL_UNKNOWN` (naming the known providers), `MODEL_KEY_MISSING`
 * (naming the variable) and `SETTINGS_INVALID`.
 */
export async function openModel(
  name: string,
  options: {
    providers: Readonly<Record<string, ProviderSettings>>;
    env: NodeJS.ProcessEnv;
    requestTimeout?: number | undefined;
  },
): Promise<ChatModel> {
  const { provider, model } = parseModelName(name);
  if (provider === 'demo') return demoModel(model);
  const endpoint = findEndpoint(name, options.providers, options.env);
  const { remoteModel } = await import('../wire/remote.ts');
  return remoteModel(endpoint, endpoint.isLocal ? 0 : (options.requestTimeout ?? 600_000));
}
