import { type Describe, example } from './describe.ts';

/** Shows and changes the settings. */
export const describeSettings: Describe = (program, { shell }) => {
  const config = program.command('config').description('show and change the settings');
  example(config, 'coffer config list', 'coffer config set model ollama/qwen3');
  const list = config
    .command('list')
    .description('show every setting, its value and what says it')
    .option('--json', 'as a JSON array')
    .action(async (options: { json?: boolean }) => {
      const { listConfig } = await import('../commands/settings/config-values.ts');
      await listConfig(shell(), options);
    });
  example(list, 'coffer config list', 'coffer config list --json');
  const get = config
    .command('get')
    .description('show the value of one setting')
    .argument('<key>', 'as coffer config list shows it')
    .option('--json', 'as a JSON object, with what says it')
    .action(async (key: string, options: { json?: boolean }) => {
      const { getConfig } = await import('../commands/settings/config-values.ts');
      await getConfig(shell(), key, options);
    });
  example(get, 'coffer config get model', 'coffer config get providers.local.baseURL');
  const set = config
    .command('set')
    .description('set one setting, the others stay')
    .argument('<key>', 'as coffer config list shows it')
    .argument('<value>', 'as JSON, else the text as it is')
    .action(async (key: string, value: string) => {
      const { setConfig } = await import('../commands/settings/config-values.ts');
      await setConfig(shell(), key, value);
    });
  example(set, 'coffer config set maxMessages 200', `coffer config set permissions.deny '["network"]'`);
  const unset = config
    .command('unset')
    .description('remove one setting, so that its default holds')
    .argument('<key>', 'as coffer config list shows it')
    .action(async (key: string) => {
      const { unsetConfig } = await import('../commands/settings/config-values.ts');
      await unsetConfig(shell(), key);
    });
  example(unset, 'coffer config unset maxMessages');
  const path = config
    .command('path')
    .description('show where the settings file is')
    .option('--json', 'as a JSON object')
    .action(async (options: { json?: boolean }) => {
      const { showConfigPath } = await import('../commands/settings/config-values.ts');
      await showConfigPath(shell(), options);
    });
  example(path, 'coffer config path');
  const edit = config
    .command('edit')
    .description('open the settings file in $VISUAL or $EDITOR, and check it afterwards')
    .action(async () => {
      const { editConfig } = await import('../commands/settings/config-edit.ts');
      await editConfig(shell());
    });
  example(edit, 'EDITOR=nano coffer config edit');
};
