import { CofferError } from '../../../errors.ts';
import { type MarkChange, type Marks, markOf, marksOf } from '../../../session/change/marks.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Chat } from '../../../terminal/chat.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault } from '../../shell.ts';

/** `coffer rename` and `/rename`. */
export const renameCommand: CommandSpec<[which: string, words: string[]]> = {
  name: 'rename',
  description: 'rename a session (at most 100 characters)',
  arguments: [{ syntax: '<which>' }, { syntax: '<name...>' }],
  examples: ['coffer rename last fixing the login'],
  run: (shell, [which, words]) => mark(shell, which, markings.rename(words.join(' '))),
  slash: {
    usage: '<name>',
    about: 'rename this conversation (at most 100 characters)',
    async run(chat, argument) {
      if (argument === '')
        throw new CofferError('NAME_INVALID', 'a name is needed: /rename <name>', { advice: 'nothing is changed' });
      await markInChat(chat, '', markings.rename(argument));
    },
  },
};

/** `coffer pin` and `/pin`. */
export const pinCommand: CommandSpec<[which: string]> = switchCommand('pin', {
  description: 'protect a session from pruning',
  about: 'protect this conversation, or another one, from pruning',
});

/** `coffer unpin` and `/unpin`. */
export const unpinCommand: CommandSpec<[which: string]> = switchCommand('unpin', {
  description: 'allow a session to be pruned again',
  about: 'allow it to be pruned again',
});

/** `coffer archive` and `/archive`. */
export const archiveCommand: CommandSpec<[which: string]> = switchCommand('archive', {
  description: 'hide a session from the list; --all shows it',
  about: 'hide this conversation, or another one, from the list',
});

/** `coffer unarchive` and `/unarchive`. */
export const unarchiveCommand: CommandSpec<[which: string]> = switchCommand('unarchive', {
  description: 'show a session in the list again',
  about: 'show it in the list again',
});

/** `coffer tag` and `/tag`. */
export const tagCommand: CommandSpec<[which: string, tags: string[]]> = tagsCommand('tag', {
  description: 'add tags to a session: lower-case letters, digits, - and _',
  about: 'add tags: lower-case letters, digits, - and _',
});

/** `coffer untag` and `/untag`. */
export const untagCommand: CommandSpec<[which: string, tags: string[]]> = tagsCommand('untag', {
  description: 'remove tags from a session',
  about: 'remove tags',
});

/** The help texts of a command and of its slash form. */
interface Words {
  readonly description: string;
  readonly about: string;
}

function switchCommand(
  name: 'pin' | 'unpin' | 'archive' | 'unarchive',
  { description, about }: Words,
): CommandSpec<[which: string]> {
  return {
    name,
    description,
    arguments: [{ syntax: '<which>' }],
    examples: [`coffer ${name} last`],
    run: (shell, [which]) => mark(shell, which, markings[name]()),
    slash: { usage: '[which]', about, run: (chat, argument) => markInChat(chat, argument, markings[name]()) },
  };
}

function tagsCommand(
  name: 'tag' | 'untag',
  { description, about }: Words,
): CommandSpec<[which: string, tags: string[]]> {
  const usage = '<tags…>';
  return {
    name,
    description,
    arguments: [{ syntax: '<which>' }, { syntax: '<tags...>' }],
    examples: [`coffer ${name} last work auth`],
    run: (shell, [which, tags]) => mark(shell, which, markings[name](tags)),
    slash: {
      usage,
      about,
      run: async (chat, argument) => markInChat(chat, '', markings[name](wordsOf(argument, `/${name} ${usage}`))),
    },
  };
}

/** A change of a session's marks, and its messages. */
interface Marking {
  readonly change: MarkChange;
  /** Describes the state once it is recorded: `is pinned`. */
  is(marks: Marks): string;
  /** Describes the state if nothing had to change. Default: {@link is}, and `already`. */
  readonly was?: string;
}

/** All changes of marks. */
const markings = {
  rename: (name: string): Marking => ({
    change: { kind: 'rename', name },
    is: (marks) => `is named ${marks.name}`,
  }),
  pin: (): Marking => ({ change: { kind: 'pin', on: true }, is: () => 'is pinned' }),
  unpin: (): Marking => ({
    change: { kind: 'pin', on: false },
    is: () => 'is no longer pinned',
    was: 'is not pinned',
  }),
  archive: (): Marking => ({ change: { kind: 'archive', on: true }, is: () => 'is archived' }),
  unarchive: (): Marking => ({
    change: { kind: 'archive', on: false },
    is: () => 'is no longer archived',
    was: 'is not archived',
  }),
  tag: (tags: readonly string[]): Marking => ({ change: { kind: 'tag', tags }, is: describeTags }),
  untag: (tags: readonly string[]): Marking => ({ change: { kind: 'untag', tags }, is: describeTags }),
} as const;

/**
 * Marks a session, and prints the result. Throws `NAME_INVALID`, what finding and opening it throw,
 * `SESSION_IN_USE`, and `FAILED` for a snapshot.
 */
async function mark(shell: Shell, which: string, marking: Marking): Promise<void> {
  await changeVault(shell, async ({ sessions }) => {
    shell.terminal.say(await markRow(sessions, await sessions.find(which), marking));
  });
}

/** Marks a session from within a chat (default: the current one). Throws as {@link mark}. */
async function markInChat(chat: Chat, which: string, marking: Marking): Promise<void> {
  const { session } = chat;
  const row = which === '' ? undefined : await chat.sessions.find(which, chat.shown);
  if (row !== undefined && row.fileId !== session.fileId) {
    chat.terminal.say(await markRow(chat.sessions, row, marking));
    return;
  }
  const { changed, marks } = await chat.live.send({ type: 'Mark', mark: marking.change });
  chat.terminal.say(`this conversation ${describe(changed, marking, marks)}`);
}

/** Marks a session. If nothing changes, doesn't open it, and its file stays as it is. */
async function markRow(sessions: Sessions, row: Row, marking: Marking): Promise<string> {
  const apply = markOf(marking.change);
  const isSo = row.kind === 'session' && row.unreadable === undefined && apply(marksOf(row)) === undefined;
  if (isSo) return `${row.id} ${describe(false, marking, marksOf(row))}`;
  return sessions.change(row, async (session) => {
    const event = apply(session.state);
    if (event !== undefined) await session.append(event);
    return `${row.id} ${describe(event !== undefined, marking, session.state)}`;
  });
}

function describe(changed: boolean, { is, was }: Marking, marks: Marks): string {
  return changed ? is(marks) : (was ?? `${is(marks)} already`);
}

function describeTags({ tags }: Marks): string {
  if (tags.length === 0) return 'has no tags';
  return `has the ${tags.length === 1 ? 'tag' : 'tags'} ${tags.join(', ')}`;
}

/** Splits a line into words. Throws `USAGE` if it has none. */
function wordsOf(argument: string, usage: string): string[] {
  const words = argument.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) throw new CofferError('USAGE', `tags are needed: ${usage}`);
  return words;
}
