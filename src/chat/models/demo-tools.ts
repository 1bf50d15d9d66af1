import type { Message } from '../../session/event/event.ts';
import { textOf } from '../../session/event/message-text.ts';
import { outputText } from '../context.ts';

/** The reply of a demo model: text, or tool calls. */
export type DemoReply =
  | string
  | readonly { readonly toolName: string; readonly input: Readonly<Record<string, string>> }[];

/**
 * Replies like a model that uses tools: performs the instructions of the last message, one per
 * line, all at once, then replies with the results. Lets users try out tool permissions without a
 * model.
 */
export function useTools(messages: readonly Message[]): DemoReply {
  const last = messages.at(-1);
  if (last?.role === 'tool') return last.content.map(({ output }) => outputText(output).trimEnd()).join('\n\n');
  const lines = last === undefined ? [] : textOf(last).split('\n');
  const calls = lines.flatMap((line) => callOf(line.trim()) ?? []);
  return calls.length === 0 ? HELP : calls;
}

/** The reply if no tools are offered. */
export const NO_TOOLS = 'I have no tools here.';

const HELP =
  'I follow instructions, one per line: read FILE, list [DIRECTORY], search TEXT, write FILE TEXT, run COMMAND.';

function callOf(line: string): Exclude<DemoReply, string> | undefined {
  const [, verb = '', rest = ''] = /^(\S+)\s*(.*)$/s.exec(line) ?? [];
  const [, path = '', content = ''] = /^(\S*)\s?(.*)$/s.exec(rest) ?? [];
  if (verb === 'list') return [{ toolName: 'list_files', input: rest === '' ? {} : { path: rest } }];
  if (rest === '') return undefined;
  if (verb === 'read') return [{ toolName: 'read_file', input: { path: rest } }];
  if (verb === 'search') return [{ toolName: 'search_files', input: { text: rest } }];
  if (verb === 'write') return [{ toolName: 'write_file', input: { path, content: `${content}\n` } }];
  if (verb === 'run') return [{ toolName: 'run_command', input: { command: rest } }];
  return undefined;
}
