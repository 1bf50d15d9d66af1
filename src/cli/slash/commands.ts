import { isCofferError } from '../../errors.ts';
import type { Chat } from '../chat.ts';
import { countMessages, showRows } from '../rows.ts';
import { nearest } from './parse.ts';

/** A slash command. What it throws as CofferError is shown, and the chat goes on. */
interface SlashCommand {
  /** What follows the name: `[name]`. */
  readonly usage: string;
  readonly about: string;
  run(chat: Chat, argument: string): Promise<void>;
}

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
  }
  return undefined;
}

const sessions: SlashCommand = {
  usage: '',
  about: 'lists saved sessions',
  async run(chat) {
    chat.shown = await chat.sessions.list();
    showRows(chat.terminal, chat.shown, '/resume', chat.sessions.seen);
  },
};

const reset: SlashCommand = {
  usage: '',
  about: 'ends this conversation and begins another; this one stays resumable',
  async run(chat) {
    const before = await chat.reset();
    chat.terminal.say(before === undefined ? 'new conversation' : `new conversation; /resume ${before} goes back`);
  },
};

const commands: ReadonlyMap<string, SlashCommand> = new Map<string, SlashCommand>([
  [
    '/save',
    {
      usage: '[name]',
      about: 'takes a snapshot, named by time and name',
      async run(chat, argument) {
        const { id, messages } = await chat.session.save(argument === '' ? undefined : argument);
        chat.terminal.say(`session saved: ${id} (${countMessages(messages)})`);
        chat.tellUnmarked();
      },
    },
  ],
  ['/sessions', sessions],
  ['/history', { ...sessions, about: 'the same as /sessions' }],
  [
    '/resume',
    {
      usage: '<which>',
      about: 'goes on with a session: a number of the list, an id, a name, last',
      async run(chat, argument) {
        if (argument === '') await sessions.run(chat, '');
        else await chat.resume(argument);
      },
    },
  ],
  ['/reset', reset],
  ['/new', { ...reset, about: 'the same as /reset' }],
  [
    '/model',
    {
      usage: '[name]',
      about: 'shows the model, or lets another one answer: provider/model',
      async run(chat, argument) {
        if (argument === '') await showModel(chat);
        else await chooseModel(chat, argument);
      },
    },
  ],
  [
    '/help',
    {
      usage: '',
      about: 'shows this',
      async run(chat) {
        showHelp(chat);
      },
    },
  ],
]);

async function showModel(chat: Chat): Promise<void> {
  const { builtinProviders } = await import('../../chat/models.ts');
  const known = new Set(['demo', ...Object.keys(builtinProviders), ...Object.keys(chat.providers)]);
  chat.terminal.say(`model: ${chat.model?.name ?? 'none'}`);
  chat.terminal.say(`known providers: ${[...known].sort().join(', ')}`);
}

async function chooseModel(chat: Chat, name: string): Promise<void> {
  await chat.choose(name);
  chat.terminal.say(`model: ${chat.model?.name}`);
}

function showHelp(chat: Chat): void {
  const rows = [...commands].map(([name, { usage, about }]) => [`${name} ${usage}`.trimEnd(), about] as const);
  for (const [name, about] of [...rows, ['/exit', 'saves and quits'] as const])
    chat.terminal.say(`  ${name.padEnd(18)}${about}`);
  chat.terminal.say('  //text            says /text to the model');
}

function suggest(chat: Chat, command: string): void {
  const near = nearest(command, [...commands.keys(), '/exit']);
  const advice = near === undefined ? '/help lists the commands' : `did you mean ${near}?`;
  chat.terminal.tell(`unknown command ${command}; ${advice}`);
}
