import { homedir } from 'node:os';
import type { ExportOptions } from '../commands/export/export.ts';
import type { SlashCommands } from './slash.ts';

/** Takes sessions out of the vault. */
export const privacyCommands: SlashCommands = {
  '/export': {
    usage: '[format] [file]',
    about: 'writes this conversation in the clear: markdown, json or jsonl; --redact leaves out keys',
    async run(chat, argument) {
      const { exportChat } = await import('../commands/export/export.ts');
      await exportChat(chat, await readOptions(argument));
    },
  },
};

/** Formats and options stand first; what is left is the name of the file, spaces and all. */
async function readOptions(argument: string): Promise<ExportOptions> {
  const { FORMATS } = await import('../commands/export/export-text.ts');
  const options: { -readonly [K in keyof ExportOptions]: ExportOptions[K] } = {};
  let rest = argument;
  for (;;) {
    const [all = '', word = ''] = /^(\S+)\s*/.exec(rest) ?? [];
    const format = FORMATS.find((each) => each === word && options.format === undefined);
    if (format !== undefined) options.format = format;
    else if (word === '--redact') options.redact = true;
    else if (word === '--force') options.force = true;
    else break;
    rest = rest.slice(all.length);
  }
  if (rest !== '') options.output = rest.replace(/^~(?=\/)/, homedir());
  return options;
}
