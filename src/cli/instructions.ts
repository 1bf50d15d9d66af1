import { isUtf8 } from 'node:buffer';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CofferError, isCofferError } from '../errors.ts';
import type { Instructions } from '../session/event/event.ts';
import { readSettingsBytes } from '../settings/file.ts';
import { describeBytes } from '../terminal/amounts.ts';
import type { Chat } from './chat.ts';

/** The file in which a project tells models how to work in its directory. */
const AGENTS_FILE = 'AGENTS.md';

/** How instructions are found. */
export interface Instructing {
  /** What the command line says of the AGENTS.md. */
  readonly agents: boolean | undefined;
  readonly mayAsk: boolean;
  /** Another conversation is resumed first: nothing is asked or told of those that may be begun later. */
  readonly quiet: boolean;
}

/**
 * Returns what new conversations of a chat begin with: the system prompt of the settings, and the AGENTS.md of the directory, if the user says
 * so. That is asked once for each directory, and the answer recorded with the conversation; `agents` goes before it. Throws `SETTINGS_INVALID`
 * for a system prompt that can't be read.
 */
export async function instructionsOf(chat: Chat, options: Instructing): Promise<Instructions[]> {
  const { systemPrompt } = chat.settings;
  const own = systemPrompt ? [await systemInstructions(systemPrompt)] : [];
  const theirs = await agentsInstructions(chat, options);
  return theirs === undefined ? own : [...own, theirs];
}

/** Reads a system prompt: a text, or `@` and the path of a file with it. Throws `SETTINGS_INVALID`. */
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
  chat: Chat,
  { agents, mayAsk, quiet }: Instructing,
): Promise<Instructions | undefined> {
  const { terminal, settings } = chat;
  if (agents === undefined && settings.agentsFile === 'never') return undefined;
  const found = await readAgents(chat, quiet);
  if (found === undefined) return undefined;
  const { text, path } = found;
  const size = describeBytes(Buffer.byteLength(text));
  const isWanted = await wants(chat, { agents, mayAsk: mayAsk && !quiet, size });
  if (isWanted === undefined) return undefined;
  const offered = agents !== undefined || settings.agentsFile === 'ask' ? { offered: true as const } : {};
  if (!isWanted) return { source: 'agents', text: '', ...offered };
  if (!quiet) terminal.tell(`with the ${AGENTS_FILE} of this directory (${size})`);
  return { source: 'agents', text, path, ...offered };
}

/** What is wrong with the file is told, and it is left out. */
async function readAgents(chat: Chat, quiet: boolean): Promise<{ path: string; text: string } | undefined> {
  const { boxOf } = await import('./approve.ts');
  try {
    return await (await boxOf(chat)).readText(AGENTS_FILE, chat.session);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    if (!quiet) chat.terminal.tell(`${AGENTS_FILE} is left out: ${error.message}`);
    return undefined;
  }
}

/** Whether the file is used; undefined if nobody has said so. */
async function wants(
  chat: Chat,
  { agents, mayAsk, size }: { agents: boolean | undefined; mayAsk: boolean; size: string },
): Promise<boolean | undefined> {
  if (agents !== undefined) return agents;
  if (chat.settings.agentsFile === 'always') return true;
  const said = await saidBefore(chat);
  if (said !== undefined || !mayAsk || !chat.terminal.interactive) return said;
  const answer = await chat.input.ask(
    `${AGENTS_FILE} is here (${size}); tell it to the model in chats of this directory? [y/N] `,
  );
  return answer === undefined ? undefined : /^y(es)?$/i.test(answer.trim());
}

/** The answer that was recorded last for this directory. */
async function saidBefore({ sessions, workplace, incognito }: Chat): Promise<boolean | undefined> {
  if (incognito || sessions.key.state !== 'ready') return undefined;
  const rows = (await sessions.list()).filter((row) => row.directory === workplace.directory && row.agents);
  const last = rows.toSorted((a, b) => a.begun - b.begun).at(-1);
  return last && last.agents === 'used';
}
