import type { CofferError } from '../errors.ts';
import { clock } from '../terminal/rows.ts';
import type { Chat } from './chat.ts';
import type { Guard } from './signals.ts';
import { parseLine } from './slash/parse.ts';

/** Stands before what a person types. */
const PROMPT = '» ';

/**
 * Reads lines and answers them until the end of input or `/exit`. The first Ctrl+C cancels the reply, stops a command that waits for
 * the keychain, or clears the line; a second one saves and quits. `beforeLine` runs before a line is answered, when no turn is under
 * way. Returns the error of the last reply if nobody was there to see it.
 */
export async function repl(
  chat: Chat,
  guard: Guard,
  beforeLine: () => Promise<void>,
): Promise<CofferError | undefined> {
  const { terminal, input } = chat;
  let running: AbortController | undefined;
  let armed = false;
  let commanding = false;
  let failed: CofferError | undefined;
  input.chords = { l: '/resume' };
  input.onKey = () => {
    armed = false;
  };
  input.onInterrupt = () => {
    if (commanding && chat.sessions.stopWaiting()) return;
    if (armed) return guard.end('SIGINT');
    armed = true;
    if (running === undefined) input.clear('ctrl+c again saves and quits');
    else running.abort();
  };
  input.onHangup = () => guard.end('SIGHUP');
  input.onEnd = () => {
    if (terminal.interactive) running?.abort();
  };
  terminal.onGone = (how) => {
    if (how === 'hangup') return guard.end('SIGHUP');
    input.stop();
    running?.abort();
  };
  const tellStatus = statusTeller(chat);
  for (;;) {
    const line = await input.next(status(chat) + PROMPT);
    if (line === undefined) break;
    await beforeLine();
    const parsed = parseLine(line);
    if (parsed === undefined) continue;
    if ('command' in parsed) {
      const { runSlash } = await import('./slash/commands.ts');
      commanding = true;
      if ((await runSlash(chat, parsed)) === 'exit') break;
      commanding = false;
    } else {
      running = new AbortController();
      const { answer } = await import('./turn.ts');
      failed = await answer(chat, parsed.message, running);
      running = undefined;
    }
    tellStatus();
  }
  return terminal.interactive ? undefined : failed;
}

/**
 * Takes one turn: the reply goes to stdout, all else to stderr. Ctrl+C cancels it. Gives the error it failed with; a
 * cancelled one is told, and no error.
 */
export async function runPrompt(chat: Chat, guard: Guard, text: string): Promise<CofferError | undefined> {
  const { terminal, input } = chat;
  const running = new AbortController();
  input.onInterrupt = () => (running.signal.aborted ? guard.end('SIGINT') : running.abort());
  input.onHangup = () => guard.end('SIGHUP');
  terminal.onGone = (how) => (how === 'hangup' ? guard.end('SIGHUP') : running.abort());
  const { answer } = await import('./turn.ts');
  const failed = await answer(chat, text, running);
  statusTeller(chat)();
  return failed;
}

/** `incognito`, or `NOT SAVED since 12:31: disk full`, and the empty text while everything is saved. */
function status(chat: Chat): string {
  if (chat.incognito) return 'incognito ';
  const { unsaved } = chat;
  return unsaved === undefined ? '' : `${describe(unsaved)} `;
}

/** Tells once that saving fails, and once that it works again. */
function statusTeller(chat: Chat): () => void {
  let told = '';
  return () => {
    const { unsaved } = chat;
    const now = unsaved === undefined ? '' : describe(unsaved);
    if (now === told) return;
    chat.terminal.tell(now === '' ? 'saved again' : now);
    told = now;
  };
}

function describe(unsaved: { since: Date; error: CofferError }): string {
  return `NOT SAVED since ${clock(unsaved.since)}: ${unsaved.error.reason}`;
}
