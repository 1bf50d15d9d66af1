import type { Chat } from '../../../terminal/chat.ts';
import { countMessages } from '../../../terminal/output/rows.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/** `coffer save` and `/save`. */
export const saveCommand: CommandSpec<[which: string, name: string | undefined]> = {
  name: 'save',
  description: 'take a snapshot of a saved session, named by time and an optional name',
  arguments: [{ syntax: '<which>' }, { syntax: '[name]' }],
  examples: ['coffer save last before-the-rewrite'],
  run,
  slash: {
    usage: '[name]',
    about: 'take a snapshot, named by time and name',
    run: runSlash,
  },
};

/**
 * Takes a snapshot of a session as it is currently saved. Throws `SESSION_NOT_FOUND`,
 * `SESSION_AMBIGUOUS`, `NAME_INVALID`, `NOT_SAVED`, `KEY_*`.
 */
async function run(shell: Shell, [which, name]: [string, string | undefined]): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const { id, messages } = await sessions.snapshot(await sessions.find(which), name);
    terminal.say(`session saved: ${id} (${countMessages(messages)})`);
    if (sessions.upkeep.unmarked !== undefined) terminal.tell(`saved, but ${sessions.upkeep.unmarked.message}`);
  } finally {
    input.close();
  }
}

/** Takes a snapshot of the current conversation. */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  const name = argument === '' ? undefined : argument;
  const { id, messages } = await chat.live.send({ type: 'Save', name });
  chat.terminal.say(`session saved: ${id} (${countMessages(messages)})`);
  chat.tellUnmarked();
}
