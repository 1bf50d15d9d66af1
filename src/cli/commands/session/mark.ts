import { CofferError } from '../../../errors.ts';
import { type MarkChange, type Marks, markOf, marksOf } from '../../../session/change/marks.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { changeVault } from '../../changing.ts';
import type { Shell } from '../../shell.ts';

/** A change of how a session is listed, and the words for it. */
export interface Marking {
  readonly change: MarkChange;
  /** What holds once it is recorded: `is pinned`. */
  is(marks: Marks): string;
  /** What holds if nothing had to change. Default: {@link is}, and `already`. */
  readonly was?: string;
}

/** Everything a session can be marked with. */
export const markings = {
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
 * Marks a session, and says so. Throws `NAME_INVALID`, what finding and opening it throw, `SESSION_IN_USE`, and `FAILED` for a snapshot.
 */
export async function markSession(shell: Shell, which: string, make: () => Marking): Promise<void> {
  const marking = make();
  await changeVault(shell, async ({ sessions }) => {
    shell.terminal.say(await markRow(sessions, await sessions.find(which), marking));
  });
}

/** Marks a session from within a chat: the present one unless told which. Throws as {@link markSession}. */
export async function markFromChat(chat: Chat, which: string, marking: Marking): Promise<void> {
  const { session } = chat;
  const row = which === '' ? undefined : await chat.sessions.find(which, chat.shown);
  if (row !== undefined && row.fileId !== session.fileId) {
    chat.terminal.say(await markRow(chat.sessions, row, marking));
    return;
  }
  const { changed, marks } = await chat.live.send({ type: 'Mark', mark: marking.change });
  chat.terminal.say(`this conversation ${describe(changed, marking, marks)}`);
}

/** Where nothing changes nothing is opened: a session keeps its file as it is. */
async function markRow(sessions: Sessions, row: Row, marking: Marking): Promise<string> {
  const mark = markOf(marking.change);
  const isSo = row.kind === 'session' && row.unreadable === undefined && mark(marksOf(row)) === undefined;
  if (isSo) return `${row.id} ${describe(false, marking, marksOf(row))}`;
  return sessions.change(row, async (session) => {
    const event = mark(session.state);
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

/** Takes the words of a line apart. Throws `USAGE` where there is none. */
export function wordsOf(argument: string, usage: string): string[] {
  const words = argument.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) throw new CofferError('USAGE', `say which: ${usage}`);
  return words;
}
