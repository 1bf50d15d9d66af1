import { nearest } from '../../chat/models/nearest.ts';
import { isCofferError } from '../../errors.ts';
import type { Chat } from '../../terminal/chat.ts';
import { contextCommands } from './context.ts';
import { findingCommands } from './finding.ts';
import { keepingCommands } from './keeping.ts';
import { privacyCommands } from './privacy.ts';
import { seeingCommands } from './seeing.ts';
import type { SlashCommand } from './slash.ts';

/** Runs a slash command and shows how it ended. Never throws a CofferError: the conversation goes on. */
export async function runSlash(
  chat: Chat,
  { command, argument }: { command: string; argument: string },
): Promise<'exit' | undefined> {
  if (command === '/exit') return 'exit';
  try {
    const found = commands.get(command);
    if (found === undefined) suggest(chat, command);
    else await found.run(chat, argument);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    chat.terminal.tell(error.message);
    chat.terminal.tellSaid(error);
  }
  return undefined;
}

/** Every slash command but `/exit`, in the order in which `/help` shows them. */
export const commands: ReadonlyMap<string, SlashCommand> = new Map<string, SlashCommand>(
  Object.entries({
    ...findingCommands,
    ...keepingCommands,
    ...seeingCommands,
    ...contextCommands,
    ...privacyCommands,
    '/help': {
      usage: '',
      about: 'shows this',
      async run(chat: Chat) {
        showHelp(chat);
      },
    },
  }),
);

function showHelp(chat: Chat): void {
  const rows = [...commands].map(([name, { usage, about }]) => [`${name} ${usage}`.trimEnd(), about] as const);
  const all = [...rows, ['/exit', 'saves and quits'] as const, ['//text', 'says /text to the model'] as const];
  const width = Math.max(18, ...all.map(([name]) => name.length + 2));
  for (const [name, about] of all) chat.terminal.say(`  ${name.padEnd(width)}${about}`);
}

function suggest(chat: Chat, command: string): void {
  const near = nearest(command, [...commands.keys(), '/exit']);
  const advice = near === undefined ? '/help lists the commands' : `did you mean ${near}?`;
  chat.terminal.tell(`unknown command ${command}; ${advice}`);
}
