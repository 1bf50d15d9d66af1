import { commandLine } from '../../src/cli/commands.ts';

/* Loads every command and ends: its test looks at what is loaded with them. */

await commandLine.program();
for (const load of Object.values(commandLine.commands)) await load();
