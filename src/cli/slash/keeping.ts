import type { SlashCommands } from './slash.ts';

/** Names, marks and deletes sessions. */
export const keepingCommands: SlashCommands = {};
