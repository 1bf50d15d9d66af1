import type { SlashCommands } from './slash.ts';

/** Changes what the conversation goes on from, and what tools may do. */
export const contextCommands: SlashCommands = {};
