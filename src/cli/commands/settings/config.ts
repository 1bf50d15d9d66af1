import type { CommandArgument, CommandSpec } from '../../command.ts';

/** The argument that names a setting. */
const key: CommandArgument = { syntax: '<key>', description: 'setting name from coffer config list' };

const list: CommandSpec<[], { json?: boolean }> = {
  name: 'list',
  description: 'show every setting, its value and its source',
  options: [{ flags: '--json', description: 'print a JSON array' }],
  examples: ['coffer config list', 'coffer config list --json'],
  async run(shell, _, options) {
    const { listConfig } = await import('./config-values.ts');
    await listConfig(shell, options);
  },
};

const get: CommandSpec<[key: string], { json?: boolean }> = {
  name: 'get',
  description: 'show the value of one setting',
  arguments: [key],
  options: [{ flags: '--json', description: 'print a JSON object with the source' }],
  examples: ['coffer config get model', 'coffer config get providers.local.baseURL'],
  async run(shell, [name], options) {
    const { getConfig } = await import('./config-values.ts');
    await getConfig(shell, name, options);
  },
};

const set: CommandSpec<[key: string, value: string]> = {
  name: 'set',
  description: 'set one setting',
  arguments: [key, { syntax: '<value>', description: 'JSON, or else plain text' }],
  examples: ['coffer config set maxMessages 200', `coffer config set permissions.deny '["network"]'`],
  async run(shell, [name, value]) {
    const { setConfig } = await import('./config-values.ts');
    await setConfig(shell, name, value);
  },
};

const unset: CommandSpec<[key: string]> = {
  name: 'unset',
  description: 'remove one setting, so that its default applies',
  arguments: [key],
  examples: ['coffer config unset maxMessages'],
  async run(shell, [name]) {
    const { unsetConfig } = await import('./config-values.ts');
    await unsetConfig(shell, name);
  },
};

const path: CommandSpec<[], { json?: boolean }> = {
  name: 'path',
  description: 'print the path of the settings file',
  options: [{ flags: '--json', description: 'print a JSON object' }],
  examples: ['coffer config path'],
  async run(shell, _, options) {
    const { showConfigPath } = await import('./config-values.ts');
    await showConfigPath(shell, options);
  },
};

const edit: CommandSpec<[]> = {
  name: 'edit',
  description: 'open the settings file in $VISUAL or $EDITOR, and check it afterwards',
  examples: ['EDITOR=nano coffer config edit'],
  async run(shell) {
    const { editConfig } = await import('./config-edit.ts');
    await editConfig(shell);
  },
};

/**
 * `coffer config`. Its subcommands load their code lazily, because it needs the schema of the
 * settings.
 */
export const configCommand: CommandSpec = {
  name: 'config',
  description: 'show and change the settings',
  examples: ['coffer config list', 'coffer config set model ollama/qwen3'],
  subcommands: [list, get, set, unset, path, edit],
};
