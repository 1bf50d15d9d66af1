import { realpathSync, statSync } from 'node:fs';
import { CofferError } from '../../errors.ts';
import { isOf, type Surroundings } from '../../session/project/project.ts';
import type { Session } from '../../session/session.ts';
import type { Settings } from '../../settings/settings.ts';
import type { FrontEnd } from '../question.ts';
import { type ToolHost, Workplace } from './workplace.ts';

/** The directories in which a resumed session can continue, and how to open them. */
export interface Choices {
  /** The workplace in the directory that the chat was started in. */
  readonly start: Workplace;
  /** The directory that the chat was started in, and its git state. */
  readonly surroundings: Surroundings;
  /** Whether the user has already chosen the directory that the chat was started in. */
  readonly here: boolean;
  readonly place: ToolHost;
  /** Reads the settings that apply in a directory. Throws `SETTINGS_INVALID`. */
  settingsIn(directory: string): Promise<Settings>;
}

/**
 * Returns the workplace of a resumed session: its own directory or, if the user prefers, the one
 * the chat was started in. In the latter case, records that the session moved. Doesn't ask if both
 * are the same directory, or if the session's project was moved here. If no user can answer, the
 * session keeps its directory, unless that comes from an imported file; if the directory is gone,
 * the session continues without tools. Throws `FAILED` if the directory is gone and the user
 * doesn't want to continue here, `CANCELLED`, and `SETTINGS_INVALID`.
 */
export async function workplaceOf(session: Session, front: FrontEnd, choices: Choices): Promise<Workplace> {
  const { start, surroundings, place } = choices;
  const { directory } = session.state;
  if (isSame(directory, start.directory)) return start;
  const isMoved = choices.here || isOf(session.state, surroundings);
  if (isMoved || (await isWantedHere(session, front, start.directory))) {
    await session.record({ type: 'move', ...surroundings });
    front.notify({ kind: 'moved', from: directory, to: start.directory });
    return start;
  }
  const isGone = !isDirectory(directory);
  if (isGone) front.notify({ kind: 'directory-gone', directory, here: start.directory });
  else front.notify({ kind: 'works-in', directory });
  // Use the real path: if a symbolic link replaces the directory, permissions granted for it
  // must not apply to the link's target.
  const real = realOf(directory) ?? directory;
  return new Workplace(real, { settings: await choices.settingsIn(real), place, isGone });
}

async function isWantedHere({ state }: Session, front: FrontEnd, here: string): Promise<boolean> {
  const { directory: recorded, imported } = state;
  if (!front.attended) return imported;
  if (!isDirectory(recorded)) {
    if ((await front.ask({ kind: 'directory-gone', recorded, here })) === 'here') return true;
    throw new CofferError('FAILED', `the directory of this session, ${recorded}, is gone`);
  }
  const answer = await front.ask({ kind: 'directory', recorded, here });
  if (answer === 'here' || answer === 'recorded') return answer === 'here';
  throw new CofferError('CANCELLED', 'cancelled: session not resumed');
}

function isSame(one: string, other: string): boolean {
  return one === other || (one !== '' && realOf(one) === realOf(other));
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined; // gone or not accessible: tools can't work there
  }
}

function isDirectory(path: string): boolean {
  try {
    return path !== '' && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false; // not accessible: tools can't work there
  }
}
