import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { CofferError } from '../../errors.ts';
import { type Event, isKnown, type Message } from '../../session/event.ts';
import type { Recorded } from '../../session/shapes.ts';
import { escapeJson, escapeLine, escapeText } from '../escape.ts';
import { openSessions, type Shell } from '../shell.ts';

/** What an export may be told. */
export interface ExportOptions {
  readonly format: 'markdown' | 'json';
  readonly output?: string | undefined;
}

/**
 * Writes a session in the clear, to stdout or to a new file that only this user can read, and says so.
 * Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`, `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`, and `FAILED` where the file
 * can't be made: one that is there already is never overwritten.
 */
export async function exportSession(shell: Shell, which: string, options: ExportOptions): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const recorded = await sessions.read(await sessions.find(which));
    const text = options.format === 'json' ? toJson(recorded) : toMarkdown(recorded);
    if (options.output === undefined) {
      terminal.write(text);
      terminal.tell('this export is plaintext: whoever reads it reads the conversation');
    } else {
      const path = resolve(options.output);
      await createPlain(path, text);
      terminal.tell(`${path} is plaintext: whoever reads it reads the conversation`);
    }
    const { torn, rolledBack } = recorded.row;
    if (torn !== undefined) terminal.tell(torn);
    if (rolledBack !== undefined) terminal.tell(`not as it was seen: ${rolledBack}`);
  } finally {
    input.close();
  }
}

/** O_EXCL: neither a file nor a link that is there is written to. */
async function createPlain(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o600 });
  } catch (cause) {
    const { code, errno } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new CofferError('FAILED', `${path} is there already; give another name`, { cause });
    if (errno === undefined) throw cause;
    throw new CofferError('FAILED', `cannot write ${path}: ${getSystemErrorMessage(errno)}`, { cause });
  }
}

function toJson({ row, events }: Recorded): string {
  const {
    id,
    uuid,
    kind,
    name,
    begun,
    updated,
    directory,
    branch,
    model,
    messages,
    inputTokens,
    outputTokens,
    cost,
    parent,
  } = row;
  const times = { begun: new Date(begun).toISOString(), updated: new Date(updated).toISOString() };
  const usage = { inputTokens, outputTokens, cost };
  return `${escapeJson({ id, uuid, kind, name, ...times, directory, branch, model, messages, ...usage, parent, events })}\n`;
}

function toMarkdown({ row, events }: Recorded): string {
  const facts = [
    ['id', row.id],
    ['model', row.model],
    ['directory', row.directory],
    ['branch', row.branch],
    ['begun', new Date(row.begun).toISOString()],
    ['updated', new Date(row.updated).toISOString()],
  ];
  const head = facts
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `- ${key}: ${escapeLine(value ?? '')}`);
  const title = `# ${escapeLine(row.name ?? row.title ?? row.id)}`;
  return `${[title, head.join('\n'), ...events.flatMap(section)].join('\n\n')}\n`;
}

function section(event: Event): string[] {
  if (!isKnown(event)) return [];
  if (event.type === 'error') return [`> error: ${escapeLine(event.message)}`];
  if (event.type !== 'message') return [];
  const { role } = event.message;
  const who = event.model === undefined ? role : `${role} (${escapeLine(event.model)})`;
  const cut = event.partial === true ? ', cut short' : '';
  return [`## ${who}${cut}`, escapeText(contentOf(event.message).trimEnd())];
}

function contentOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  return message.content.map(partText).join('\n\n');
}

function partText(part: Exclude<Message['content'], string>[number]): string {
  switch (part.type) {
    case 'text':
      return part.text;
    case 'reasoning':
      return part.text.replace(/^/gm, '> ');
    case 'file':
      return `[file ${part.filename ?? ''} ${part.mediaType}]`;
    case 'tool-call':
      return `\`\`\`json\n${JSON.stringify({ tool: part.toolName, input: part.input }, undefined, 2)}\n\`\`\``;
    case 'tool-result':
      return `\`\`\`json\n${JSON.stringify({ tool: part.toolName, output: part.output }, undefined, 2)}\n\`\`\``;
  }
}
