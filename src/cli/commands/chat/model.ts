import type { SlashCommand } from '../../command.ts';

/** `/model` */
export const modelCommand: SlashCommand = {
  name: '/model',
  usage: '[name|list]',
  about: 'show the model, list the available ones, or switch to another: provider/model',
  async run(chat, argument) {
    if (argument === 'list') {
      const { showModels } = await import('../settings/models.ts');
      await showModels(chat.terminal, chat);
      return;
    }
    if (argument !== '') await chat.live.send({ type: 'ChooseModel', model: argument });
    chat.terminal.say(`model: ${chat.live.model?.name ?? 'none'}`);
  },
};
