import type { KnownProvider, ProviderSettings } from '../../chat/models.ts';
import { escapeJson } from '../escape.ts';
import type { Shell } from '../shell.ts';
import type { Terminal } from '../terminal.ts';

/** Lists the models that can be named. Throws `SETTINGS_INVALID`. */
export async function listModels(shell: Shell, { json }: { json?: boolean | undefined }): Promise<void> {
  const { terminal, env, options } = shell;
  const [{ loadSettings, settingsPath }, { knownModels }] = await Promise.all([
    import('../settings.ts'),
    import('../../chat/models.ts'),
  ]);
  const directory = options.path ?? '.';
  const { providers } = await loadSettings(settingsPath(env), { env, options, directory });
  if (json !== true) return showModels(terminal, { providers, env });
  terminal.write(`${escapeJson(await knownModels({ providers, env }))}\n`);
}

/** Shows them: those that are known by name, and of every provider where it is and whether it can be asked. */
export async function showModels(
  terminal: Terminal,
  from: { providers: Readonly<Record<string, ProviderSettings>>; env: NodeJS.ProcessEnv },
): Promise<void> {
  const { knownModels } = await import('../../chat/models.ts');
  for (const known of await knownModels(from)) {
    for (const model of known.models) terminal.say(`  ${model}`);
    const more = whatMore(known);
    if (more !== undefined) terminal.say(`  ${known.provider}/…  ${more}`);
  }
}

/** Of a provider whose models are not all known here: what it takes to ask it. */
function whatMore({ baseURL, key, answers, models }: KnownProvider): string | undefined {
  if (key !== undefined) return key.isSet ? `with the key in ${key.variable}` : `needs a key in ${key.variable}`;
  if (answers === false) return `nobody answers at ${baseURL}`;
  return models.length === 0 ? `at ${baseURL}` : undefined;
}
