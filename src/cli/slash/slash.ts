import type { Chat } from '../../terminal/chat.ts';

/** A slash command. What it throws as CofferError is shown, and the chat goes on. */
export interface SlashCommand {
  /** What follows the name: `[name]`. */
  readonly usage: string;
  /** One line for `/help`. */
  readonly about: string;
  run(chat: Chat, argument: string): Promise<void>;
}

/** Slash commands by their names, in the order in which `/help` shows them. */
export type SlashCommands = Readonly<Record<`/${string}`, SlashCommand>>;
