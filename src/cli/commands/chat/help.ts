import type { SlashCommand } from '../../command.ts';
import { loadSlashCommands } from '../../slash.ts';

/** `/help` */
export const helpCommand: SlashCommand = {
  name: '/help',
  usage: '',
  about: 'show this help',
  async run(chat, _, commands) {
    const all = await loadSlashCommands(commands);
    const rows = [...all.map(({ name, usage, about }) => [`${name} ${usage}`.trimEnd(), about] as const), literalSlash];
    const width = Math.max(18, ...rows.map(([name]) => name.length + 2));
    for (const [name, about] of rows) chat.terminal.say(`  ${name.padEnd(width)}${about}`);
  },
};

/** `/exit` */
export const exitCommand: SlashCommand = {
  name: '/exit',
  usage: '',
  about: 'save and quit',
  run: async () => 'exit',
};

/** Escape for a message that begins with a slash, with its line in `/help`. */
export const literalSlash: readonly [line: string, about: string] = ['//text', 'send /text to the model'];
