import { join } from 'node:path';
import { CofferError } from '../../../errors.ts';
import { holdersOf, providersOf, type Redaction, redactionOf, redactSession } from '../../../session/change/redact.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Session } from '../../../session/session.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Chat } from '../../../terminal/chat.ts';
import type { Input } from '../../../terminal/input/input.ts';
import { shellWord } from '../../../terminal/output/escape.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault, firstLine } from '../../shell.ts';

/** `coffer redact` and `/redact`. */
export const redactCommand: CommandSpec<[which: string]> = {
  name: 'redact',
  description: 'remove a text from a record, typed (hidden) or read from standard input',
  arguments: [{ syntax: '<which>' }],
  examples: ['coffer redact last', 'coffer redact last < key.pem'],
  run,
  slash: {
    usage: '[text]',
    about: 'permanently remove a text from the record; if omitted, asks for it (hidden)',
    run: runSlash,
  },
};

/**
 * Removes a text from a session's record and its file, and reports what else contains it. Asks for
 * the text, hidden, or reads it from standard input: an argument would stay in the shell's history.
 * Throws `USAGE`, what finding and opening it throw, `FAILED` for a snapshot, `NOT_SAVED`.
 */
async function run(shell: Shell, [which]: [string]): Promise<void> {
  const { terminal } = shell;
  await changeVault(shell, async ({ sessions, input }) => {
    const row = await sessions.find(which);
    if (row.kind === 'snapshot') {
      throw new CofferError('FAILED', `${row.id} is a snapshot and can't be changed`, {
        advice: `coffer delete ${shellWord(row.id)} removes it`,
      });
    }
    const text = terminal.interactive ? await input.ask(QUESTION, { hidden: true }) : await pipedText(shell, input);
    const redaction = redactionOf(requireText(text));
    const { events } = await sessions.read(row);
    const isThere = redaction.isIn(events);
    const changed = isThere ? await sessions.change(row, (session) => redactSession(session, redaction)) : 0;
    tellRedacted(terminal, changed, row.id);
    await tellRest(terminal, sessions, redaction, { fileId: row.fileId, changed: changed > 0 });
    tellProviders(terminal, changed > 0 ? providersOf(events) : []);
  });
}

/**
 * Like {@link run}, for the current conversation; the text is `argument`, or asked for. Throws as
 * {@link run}.
 */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  const { live, session, sessions, terminal, input } = chat;
  const given = argument === '' ? await input.ask(QUESTION, { hidden: true }) : argument;
  const text = requireText(given);
  input.forget(text);
  const { changed, providers } = await live.send({ type: 'Redact', text });
  tellRedacted(terminal, changed, 'this conversation');
  if (!chat.incognito && !chat.inMemory)
    await tellRest(terminal, sessions, redactionOf(text), { fileId: session.fileId, changed: changed > 0 });
  tellProviders(terminal, providers);
}

/** Returns all of standard input if it isn't a terminal: a text may have several lines. */
async function pipedText(shell: Shell, input: Input): Promise<string> {
  const lines: string[] = [];
  for (;;) {
    const line = await firstLine(shell, input);
    if (line === undefined) return lines.join('\n').replace(/\n+$/, '');
    lines.push(line);
  }
}

const QUESTION = 'text to remove from the record: ';

function requireText(text: string | undefined): string {
  if (text !== undefined && text !== '') return text;
  throw new CofferError('USAGE', 'no text was given', { advice: 'nothing is changed' });
}

function tellRedacted(terminal: Terminal, changed: number, what: string): void {
  if (changed === 0) terminal.say(`${what} does not contain that text; nothing is changed`);
  else terminal.say(`redacted: ${changed === 1 ? '1 event' : `${changed} events`} of ${what} had that text`);
}

/** Reports what still contains the text: in this vault, on this disk, in backups. */
async function tellRest(
  terminal: Terminal,
  sessions: Sessions,
  redaction: Redaction,
  of: { readonly fileId: Session['fileId']; readonly changed: boolean },
): Promise<void> {
  const { rows, unknown } = await holdersOf(sessions, redaction, of);
  for (const row of rows) terminal.tell(`${row.id} still has that text; ${adviceFor(row)}`);
  for (const { id } of unknown) terminal.tell(`${id} can't be read, and may have that text; coffer doctor says more`);
  if (!of.changed) return;
  const { quarantined, directory } = await sessions.upkeep.inspect();
  for (const { name } of quarantined.filter(({ name }) => of.fileId !== undefined && name.startsWith(of.fileId)))
    terminal.tell(`${join(directory, 'quarantine', name)} still has that text; remove it by hand`);
  terminal.tell(
    'older versions of the file may remain on this disk; coffer key rotate makes them unreadable with the new key',
  );
  terminal.tell('older backups still have that text, and open with the key they were made with');
}

function tellProviders(terminal: Terminal, providers: readonly string[]): void {
  for (const provider of providers) terminal.tell(`${provider} was sent that text, or may have been`);
}

function adviceFor({ kind, id }: Row): string {
  return kind === 'snapshot' ? `it is a snapshot: coffer delete ${shellWord(id)}` : `coffer redact ${id}`;
}
