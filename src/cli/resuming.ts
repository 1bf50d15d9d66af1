import { realpathSync, statSync } from 'node:fs';
import { CofferError, isCofferError } from '../errors.ts';
import type { Row } from '../session/list/row.ts';
import { isOf, type Surroundings } from '../session/project/project.ts';
import type { Session } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Settings } from '../settings/settings.ts';
import type { Input } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** Where the tools of a conversation work, and the settings that hold there. */
export interface Workplace {
  readonly directory: string;
  readonly settings: Settings;
  /** The directory is not there: no tool is offered. */
  readonly isGone?: boolean;
}

/** What resuming a session takes beside the session. */
export interface Resuming {
  readonly terminal: Terminal;
  readonly input: Input;
  readonly sessions: Sessions;
}

/**
 * Resumes a session, without making it `_autosave` yet, or one that is not as it was seen if that is accepted; a session in use can be forked, or read. Undefined if the user
 * chose to read it. Throws what resuming throws.
 */
export async function reopen(from: Resuming, row: Row, acceptOlder: boolean): Promise<Session | undefined> {
  const { terminal, sessions } = from;
  try {
    return await sessions.resume(row, { acceptOlder, point: false });
  } catch (error) {
    const offered = isCofferError(error, 'ROLLED_BACK', 'SESSION_IN_USE');
    if (!offered || !terminal.interactive) throw error;
    return error.code === 'ROLLED_BACK' ? resumeOlder(from, row, error) : forkOrRead(from, row, acceptOlder, error);
  }
}

async function resumeOlder({ terminal, input, sessions }: Resuming, row: Row, error: CofferError): Promise<Session> {
  terminal.tell(error.message);
  const answer = await input.ask('go on from what is there? what was saved after it stays lost [y/N] ');
  if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw error;
  return sessions.resume(row, { acceptOlder: true, point: false });
}

async function forkOrRead(
  { terminal, input, sessions }: Resuming,
  row: Row,
  acceptOlder: boolean,
  error: CofferError,
): Promise<Session | undefined> {
  const answer = await input.ask(`${error.what}; go on in a [f]ork of it, [r]ead it only, or [N]either? `);
  if (/^f(ork)?$/i.test(answer?.trim() ?? '')) return sessions.fork(row, { acceptOlder });
  if (!/^r(ead)?$/i.test(answer?.trim() ?? '')) throw error;
  const { showConversation } = await import('../terminal/conversation.ts');
  await showConversation(terminal, await sessions.read(row));
  return undefined;
}

/** Where a resumed session can continue. */
export interface Choices {
  /** The directory that the chat was started in. */
  readonly start: Workplace;
  readonly surroundings: Surroundings;
  /** The user has said to continue where the chat was started. */
  readonly here: boolean;
  settingsIn(directory: string): Promise<Settings>;
}

/**
 * Decides where the tools of a resumed session work: in the directory it was in or, if the user says so, in the one the chat was started in;
 * the session is moved there then, and the move recorded. Nobody is asked if the two are the same, or if the project of the session has been
 * moved here. Without a terminal the session stays where it was, unless an imported file says where that is; if that directory is gone, it
 * continues without tools. Throws `FAILED` if it is gone and the user does not want to continue here, `CANCELLED`, and `SETTINGS_INVALID`.
 */
export async function workplaceOf(from: Resuming, session: Session, choices: Choices): Promise<Workplace> {
  const { terminal } = from;
  const { start, surroundings } = choices;
  const { directory } = session.state;
  if (isSame(directory, start.directory)) return start;
  if (choices.here || isOf(session.state, surroundings) || (await isWantedHere(from, session, start.directory))) {
    await session.record({ type: 'move', ...surroundings });
    terminal.tell(`this session was in ${directory || 'no directory'}; from now on it is in ${start.directory}`);
    return start;
  }
  const isGone = !isDirectory(directory);
  const where = isGone
    ? `${goneOf(session)}: no tools; --here continues in ${start.directory}`
    : `tools work in ${directory}, where this session was`;
  terminal.tell(where);
  // By its real path: what was allowed in a directory must not hold where a link leads that has taken its place.
  const real = realOf(directory) ?? directory;
  return { directory: real, settings: await choices.settingsIn(real), isGone };
}

async function isWantedHere({ terminal, input }: Resuming, session: Session, here: string): Promise<boolean> {
  const { directory, imported } = session.state;
  if (!terminal.interactive) return imported;
  if (!isDirectory(directory)) {
    const gone = goneOf(session);
    const answer = await input.ask(`${gone}; continue [h]ere in ${here}, or [N]ot at all? `);
    if (/^h(ere)?$/i.test(answer?.trim() ?? '')) return true;
    throw new CofferError('FAILED', gone);
  }
  for (;;) {
    const question = `this session was in ${directory}; let tools work [r]ecorded there, or [h]ere in ${here}? `;
    const answer = (await input.ask(question))?.trim().toLowerCase();
    if (answer === undefined) throw new CofferError('CANCELLED', 'cancelled: the session is not resumed');
    if (answer === 'h' || answer === 'here') return true;
    if (answer === 'r' || answer === 'recorded') return false;
  }
}

function goneOf({ state }: Session): string {
  return `the directory of this session, ${state.directory}, is gone`;
}

function isSame(one: string, other: string): boolean {
  return one === other || (one !== '' && realOf(one) === realOf(other));
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined; // gone, or closed to us: not a directory that tools can work in
  }
}

function isDirectory(path: string): boolean {
  try {
    return path !== '' && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false; // it can't be looked at, so no tool could work there
  }
}
