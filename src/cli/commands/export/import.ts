import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { TextDecoder } from 'node:util';
import { CofferError } from '../../../errors.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import { countMessages } from '../../../terminal/output/rows.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/** `coffer import` */
export const importCommand: CommandSpec<[file: string], { json?: boolean }> = {
  name: 'import',
  description: 'import a JSONL export as a new session',
  arguments: [{ syntax: '<file>', description: 'output of coffer export --format jsonl; - for stdin' }],
  options: [{ flags: '--json', description: 'print a JSON object' }],
  examples: ['coffer import conversation.jsonl', 'ssh host coffer export last --format jsonl | coffer import -'],
  run,
};

/**
 * Imports a session exported as JSONL as a new session, and prints its id; `-` is stdin. Saves
 * nothing unless every line is valid. Throws `IMPORT_INVALID` with the line and the reason,
 * `NEWER_VERSION`, `FAILED` if the file can't be read, `KEY_*`, `NOT_SAVED`.
 */
async function run(shell: Shell, [file]: [string], options: { json?: boolean }): Promise<void> {
  const { terminal } = shell;
  const text = decode(await read(shell, file), file);
  const { sessions, input } = await openSessions(shell);
  try {
    const { id, uuid, messages, events, revoked, broken } = await sessions.upkeep.import(
      text,
      file === '-' ? 'stdin' : resolve(file),
    );
    if (options.json === true) terminal.write(`${escapeJson({ id, uuid, messages, events, revoked, broken })}\n`);
    else terminal.say(`imported ${countMessages(messages)} as session ${id}`);
    if (revoked.length > 0) terminal.tell(`permissions were not imported, tools will ask again: ${revoked.join(', ')}`);
    for (const { message, name, reason } of broken)
      terminal.tell(`message ${message}: models get only the name of ${name}, because ${reason}`);
    if (sessions.upkeep.unmarked !== undefined) terminal.tell(`saved, but ${sessions.upkeep.unmarked.message}`);
  } finally {
    input.close();
  }
}

async function read({ terminal }: Shell, file: string): Promise<Buffer> {
  const { stdin } = terminal.streams;
  if (file === '-' && stdin.isTTY === true) {
    throw new CofferError('USAGE', 'no input is piped in', { advice: 'coffer import <file> reads a file' });
  }
  const { IMPORT_LIMIT } = await import('../../../session/import/import.ts');
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of file === '-' ? stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > IMPORT_LIMIT) throw invalid(file, `has more than ${IMPORT_LIMIT / 1024 / 1024} MiB`);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (cause instanceof CofferError || code === undefined) throw cause;
    throw new CofferError('FAILED', `cannot read ${file}: ${reasons[code] ?? code}`, { cause });
  }
  return Buffer.concat(chunks);
}

const reasons: Readonly<Record<string, string>> = {
  EISDIR: 'it is a directory',
  ENOENT: 'there is no such file',
  EACCES: 'you may not read it',
  EPERM: 'you may not read it',
};

function decode(bytes: Buffer, file: string): string {
  if (bytes.length === 0) throw invalid(file, 'is empty');
  if (bytes.includes(0)) throw invalid(file, 'is not text; use coffer salvage for a sealed file');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalid(file, 'is not UTF-8', cause);
  }
}

function invalid(file: string, what: string, cause?: unknown): CofferError {
  const name = file === '-' ? 'the piped input' : file;
  return new CofferError('IMPORT_INVALID', `${name} ${what}`, { advice: 'nothing was imported', cause });
}
