import type { SlashCommands } from './slash.ts';

/** Takes sessions out of the vault. */
export const privacyCommands: SlashCommands = {};
