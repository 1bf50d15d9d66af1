import { nearest } from '../chat/models/nearest.ts';
import { isCofferError } from '../errors.ts';
import type { Chat } from '../terminal/chat.ts';
import { type CommandSpec, isSlashCommand, type LazyCommands, type SlashCommand } from './command.ts';

/**
 * Runs a slash command and shows how it ended. Never throws a CofferError: the conversation
 * continues.
 */
export async function runSlash(
  chat: Chat,
  { command, argument }: { command: string; argument: string },
  commands: LazyCommands,
): Promise<'exit' | undefined> {
  try {
    const found = await loadSlashCommand(commands, command);
    if (found !== undefined) return (await found.run(chat, argument, commands)) ?? undefined;
    await suggest(chat, command, commands);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    chat.terminal.tell(error.message);
    chat.terminal.tellSaid(error);
  }
  return undefined;
}

/** Loads every slash command, in the order in which `/help` shows them. */
export async function loadSlashCommands(commands: LazyCommands): Promise<SlashCommand[]> {
  const placed = Object.entries(commands).filter(([name]) => !Object.hasOwn(commands, `/${name}`));
  const loaded = await Promise.all(placed.map(([, load]) => load()));
  return loaded.map(slashOf).filter((command) => command !== undefined);
}

/** Loads the command with this name, such as `/reset`, and no other. */
async function loadSlashCommand(commands: LazyCommands, name: string): Promise<SlashCommand | undefined> {
  const key = [name, name.slice(1)].find((each) => Object.hasOwn(commands, each));
  const loaded = key === undefined ? undefined : await commands[key]?.();
  return loaded && slashOf(loaded);
}

function slashOf(command: CommandSpec | SlashCommand): SlashCommand | undefined {
  if (isSlashCommand(command)) return command;
  const { name, slash } = command;
  return slash && { ...slash, name: `/${name}` };
}

async function suggest(chat: Chat, command: string, commands: LazyCommands): Promise<void> {
  const names = (await loadSlashCommands(commands)).map(({ name }) => name);
  const near = nearest(command, names);
  const advice = near === undefined ? '/help lists the commands' : `did you mean ${near}?`;
  chat.terminal.tell(`unknown command ${command}; ${advice}`);
}
