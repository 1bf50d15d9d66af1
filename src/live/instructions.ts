import { isUtf8 } from 'node:buffer';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import type { Instructions } from '../session/event/event.ts';
import type { Session } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import { readSettingsBytes } from '../settings/file.ts';
import type { FrontEnd } from './question.ts';
import type { Workplace } from './workplace.ts';

/** The file in which a project tells models how to work in its directory. */
const AGENTS_FILE = 'AGENTS.md';

/** Where instructions are read, and for which session. */
export interface Instructed {
  readonly session: Session;
  readonly workplace: Workplace;
  /** Undefined for an incognito chat: earlier answers are not looked up. */
  readonly sessions: Sessions | undefined;
}

/** How instructions are chosen. */
export interface Instructing {
  /** What the command line says about the AGENTS.md; undefined if nothing. */
  readonly agents: boolean | undefined;
  /** Whether the user may be asked. */
  readonly mayAsk: boolean;
  /** Whether to keep quiet, because another conversation is resumed first. Nothing is asked then. */
  readonly quiet: boolean;
}

/**
 * Returns the instructions that new conversations begin with: the system prompt of the settings, and
 * the AGENTS.md of the directory if the user agrees. The user is asked once per directory, and the
 * answer is recorded with the conversation; `agents` takes precedence over it. Throws
 * `SETTINGS_INVALID` for a system prompt that can't be read.
 */
export async function instructionsOf(from: Instructed, front: FrontEnd, options: Instructing): Promise<Instructions[]> {
  const { systemPrompt } = from.workplace.settings;
  const own = systemPrompt ? [await systemInstructions(systemPrompt)] : [];
  const theirs = await agentsInstructions(from, front, options);
  return theirs === undefined ? own : [...own, theirs];
}

/** Reads a system prompt: a text, or `@` and the path of a file. Throws `SETTINGS_INVALID`. */
export async function systemInstructions(value: string): Promise<Instructions> {
  if (!value.startsWith('@')) return { source: 'system', text: value };
  const named = value.slice(1);
  const path = named.startsWith('~/') ? join(process.env['HOME'] || homedir(), named.slice(2)) : resolve(named);
  const bytes = await readSettingsBytes(path, 'anybody');
  if (bytes === undefined) throw new CofferError('SETTINGS_INVALID', `there is no file ${path} with a system prompt`);
  if (!isUtf8(bytes)) throw new CofferError('SETTINGS_INVALID', `${path} is no system prompt: it is not UTF-8`);
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
  const isWanted = await wants(from, front, { agents, mayAsk: mayAsk && !quiet, bytes });
  if (isWanted === undefined) return undefined;
  const offered = agents !== undefined || settings.agentsFile === 'ask' ? { offered: true as const } : {};
  if (!isWanted) return { source: 'agents', text: '', ...offered };
  if (!quiet) front.notify({ kind: 'agents-used', bytes });
  return { source: 'agents', text, path, ...offered };
}

/** A file that can't be used is reported and left out. */
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

/** Whether the file is used; undefined if that is not decided. */
async function wants(
  from: Instructed,
  front: FrontEnd,
  { agents, mayAsk, bytes }: { agents: boolean | undefined; mayAsk: boolean; bytes: number },
): Promise<boolean | undefined> {
  if (agents !== undefined) return agents;
  if (from.workplace.settings.agentsFile === 'always') return true;
  const said = await saidBefore(from);
  if (said !== undefined || !mayAsk || !front.attended) return said;
  const answer = await front.ask({ kind: 'agents', bytes });
  return answer === undefined ? undefined : answer === 'yes';
}

/** The last recorded answer for this directory. */
async function saidBefore({ sessions, workplace }: Instructed): Promise<boolean | undefined> {
  if (sessions === undefined || sessions.key.state !== 'ready') return undefined;
  const rows = (await sessions.list()).filter((row) => row.directory === workplace.directory && row.agents);
  const last = rows.toSorted((a, b) => a.begun - b.begun).at(-1);
  return last && last.agents === 'used';
}
