import type { SlashCommands } from './slash.ts';

/** Shows what a session is. */
export const seeingCommands: SlashCommands = {};
