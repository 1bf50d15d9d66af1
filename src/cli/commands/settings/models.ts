import type { Checked, KnownProvider, ProviderSettings } from '../../../chat/models/models.ts';
import { CofferError, errorFields } from '../../../errors.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { CommandSpec, Shell } from '../../command.ts';

/** `coffer models` */
export const modelsCommand: CommandSpec<[], { json?: boolean; check?: string }> = {
  name: 'models',
  description: 'list available models; only servers on this machine are contacted',
  options: [
    { flags: '--check <provider/model>', description: 'send a model three short requests and report what works' },
    { flags: '--json', description: 'print a JSON array; with --check, an object' },
  ],
  examples: ['coffer models', 'coffer models --check ollama/qwen3'],
  run: (shell, _, { check, json }) => (check === undefined ? listModels(shell, json) : checkNamed(shell, check, json)),
};

/** Lists the models that can be named. Throws `SETTINGS_INVALID`. */
async function listModels(shell: Shell, json: boolean | undefined): Promise<void> {
  const { terminal, env, options } = shell;
  const [{ loadSettings, settingsPath }, { knownModels }] = await Promise.all([
    import('../../../settings/settings.ts'),
    import('../../../chat/models/models.ts'),
  ]);
  const directory = options.path ?? '.';
  const { providers } = await loadSettings(settingsPath(env), { env, options, directory });
  if (json !== true) return showModels(terminal, { providers, env });
  terminal.write(`${escapeJson(await knownModels({ providers, env }))}\n`);
}

/**
 * Sends a model three short requests, and prints what works. Throws what the first of them throws,
 * `MODEL_*`, `SETTINGS_INVALID`, and `MODEL_ELSEWHERE` if `localOnly` is on and the model is on
 * another machine.
 */
async function checkNamed(shell: Shell, name: string, json: boolean | undefined): Promise<void> {
  const { terminal, env, options } = shell;
  const [{ loadSettings, settingsPath }, { checkModel, isLocalModel, openModel }] = await Promise.all([
    import('../../../settings/settings.ts'),
    import('../../../chat/models/models.ts'),
  ]);
  const settings = await loadSettings(settingsPath(env), { env, options, directory: options.path ?? '.' });
  const model = await openModel(name, { ...settings, env });
  if (settings.localOnly && isLocalModel(model.name, settings.providers) !== true)
    throw new CofferError('MODEL_ELSEWHERE', `${model.name} is not on this machine, and the setting localOnly is on`);
  const running = new AbortController();
  const stop = (): void => running.abort();
  process.once('SIGINT', stop);
  try {
    const checked = await checkModel(model, running.signal, (wait) => terminal.tellWait(wait));
    if (json === true) terminal.write(`${escapeJson(checkedJson(model.name, checked))}\n`);
    else for (const [label, value] of checkedLines(checked)) terminal.say(`${label.padEnd(11)}${value}`);
  } finally {
    process.off('SIGINT', stop);
  }
}

function checkedLines({ streaming, reasoning, tools, images, contextWindow }: Checked): [string, string][] {
  const words = { called: 'yes', unused: 'accepted, but none was called', seen: 'yes' } as const;
  const inWords = (what: Checked['tools'] | Checked['images'], accepted: string): string => {
    if (typeof what !== 'string') return `no: ${what.said ?? what.what}`;
    return what === 'accepted' ? accepted : words[what];
  };
  return [
    ['replies', 'yes'],
    ['streaming', streaming ? 'yes' : 'no: the reply came in one piece'],
    ['reasoning', reasoning ? 'yes' : 'none was sent'],
    ['tools', inWords(tools, '')],
    ['images', inWords(images, 'accepted, but the image was not described')],
    ['window', `${contextWindow.toLocaleString('en-US')} tokens`],
  ];
}

function checkedJson(model: string, { tools, images, ...rest }: Checked): object {
  const asJson = (what: Checked['tools'] | Checked['images']): string | object =>
    typeof what === 'string' ? what : errorFields(what);
  return { model, ...rest, tools: asJson(tools), images: asJson(images) };
}

/**
 * Prints the known models by name, and for each provider its address and whether it can be used.
 */
export async function showModels(
  terminal: Terminal,
  from: { providers: Readonly<Record<string, ProviderSettings>>; env: NodeJS.ProcessEnv },
): Promise<void> {
  const { knownModels } = await import('../../../chat/models/models.ts');
  for (const known of await knownModels(from)) {
    for (const model of known.models) terminal.say(`  ${model}`);
    const more = whatMore(known);
    if (more !== undefined) terminal.say(`  ${known.provider}/…  ${more}`);
  }
}

/** Returns what it takes to use a provider whose models aren't all known. */
function whatMore({ baseURL, key, answers, models }: KnownProvider): string | undefined {
  if (key !== undefined) return key.isSet ? `with the key in ${key.variable}` : `needs a key in ${key.variable}`;
  if (answers === false) return `not running (${baseURL})`;
  return models.length === 0 ? `at ${baseURL}` : undefined;
}
