import { isUtf8 } from 'node:buffer';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../errors.ts';
import type { Instructions } from '../../session/event/event.ts';
import type { Session } from '../../session/session.ts';
import type { Sessions } from '../../session/sessions.ts';
import { readSettingsBytes } from '../../settings/file.ts';
import type { FrontEnd } from '../question.ts';
import type { Workplace } from './workplace.ts';

/** The file with a project's instructions for models. */
const AGENTS_FILE = 'AGENTS.md';

/** The session that instructions are for, and the directory they are read from. */
export interface Instructed {
  readonly session: Session;
  readonly workplace: Workplace;
  /** Searched for the user's earlier answer; undefined for an incognito chat. */
  readonly sessions: Sessions | undefined;
}

/** Options for choosing instructions. */
export interface Instructing {
  /** Whether the command line asks for the AGENTS.md, or against it; undefined if neither. */
  readonly agents: boolean | undefined;
  /** Whether the user may be asked. */
  readonly mayAsk: boolean;
  /** Whether to notify and ask nothing, because another conversation is resumed first. */
  readonly quiet: boolean;
}

/**
 * Returns the instructions that new conversations begin with: the system prompt from the settings,
 * and the directory's AGENTS.md if the user agrees. Asks once per directory; the answer is recorded
 * with the conversation, and `agents` overrides it. Throws `SETTINGS_INVALID` if the system prompt
 * can't be read.
 */
export async function instructionsOf(from: Instructed, front: FrontEnd, options: Instructing): Promise<Instructions[]> {
  const { systemPrompt } = from.workplace.settings;
  const own = systemPrompt ? [await systemInstructions(systemPrompt)] : [];
  const theirs = await agentsInstructions(from, front, options);
  return theirs === undefined ? own : [...own, theirs];
}

/**
 * Reads a system prompt. `value` is its text, or `@` and the path of a UTF-8 file. Throws
 * `SETTINGS_INVALID`.
 */
export async function systemInstructions(value: string): Promise<Instructions> {
  if (!value.startsWith('@')) return { source: 'system', text: value };
  const named = value.slice(1);
  const path = named.startsWith('~/') ? join(process.env['HOME'] || homedir(), named.slice(2)) : resolve(named);
  const bytes = await readSettingsBytes(path, 'anybody');
  if (bytes === undefined) throw new CofferError('SETTINGS_INVALID', `system prompt file ${path} not found`);
  if (!isUtf8(bytes)) throw new CofferError('SETTINGS_INVALID', `system prompt file ${path} is not valid UTF-8`);
  return { source: 'system', text: bytes.toString(), path };
}

async function agentsInstructions(
  from: Instructed,
  front: FrontEnd,
  { agents, mayAsk, quiet }: Instructing,
): Promise<Instructions | undefined> {
  const { settings } = from.workplace;
  if (agents === undefined && settings.agentsFile === 'never') return undefined;
  const found = await readAgents(from, front, quiet);
  if (found === undefined) return undefined;
  const { text, path } = found;
  const bytes = Buffer.byteLength(text);
  const isWanted = await isAgentsWanted(from, front, { agents, mayAsk: mayAsk && !quiet, bytes });
  if (isWanted === undefined) return undefined;
  const offered = agents !== undefined || settings.agentsFile === 'ask' ? { offered: true as const } : {};
  if (!isWanted) return { source: 'agents', text: '', ...offered };
  if (!quiet) front.notify({ kind: 'agents-used', bytes });
  return { source: 'agents', text, path, ...offered };
}

/** Reads the AGENTS.md, if any. If it can't be used, notifies the user and returns undefined. */
async function readAgents(
  { session, workplace }: Instructed,
  front: FrontEnd,
  quiet: boolean,
): Promise<{ path: string; text: string } | undefined> {
  try {
    return await (await workplace.tools()).readText(AGENTS_FILE, session);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    if (!quiet) front.notify({ kind: 'agents-left-out', error });
    return undefined;
  }
}

/** Returns whether to use the AGENTS.md; undefined if that is not decided. */
async function isAgentsWanted(
  from: Instructed,
  front: FrontEnd,
  { agents, mayAsk, bytes }: { agents: boolean | undefined; mayAsk: boolean; bytes: number },
): Promise<boolean | undefined> {
  if (agents !== undefined) return agents;
  if (from.workplace.settings.agentsFile === 'always') return true;
  const earlier = await earlierAnswer(from);
  if (earlier !== undefined || !mayAsk || !front.attended) return earlier;
  const answer = await front.ask({ kind: 'agents', bytes });
  return answer === undefined ? undefined : answer === 'yes';
}

/** Returns the last recorded answer for this directory: whether the AGENTS.md was used. */
async function earlierAnswer({ sessions, workplace }: Instructed): Promise<boolean | undefined> {
  if (sessions === undefined || sessions.keys.status.state !== 'ready') return undefined;
  const rows = (await sessions.list()).filter((row) => row.directory === workplace.directory && row.agents);
  const last = rows.toSorted((a, b) => a.begun - b.begun).at(-1);
  return last && last.agents === 'used';
}
