import type { CofferError } from '../errors.ts';
import type { Chat } from './chat.ts';
import { parseLine } from './input/slash-line.ts';
import { clock } from './output/rows.ts';

/** The prompt at which the user types. */
const PROMPT = '» ';

/** Operations of the process that runs a chat on its terminal. */
export interface ReplParts {
  /** Saves, and ends the process with the signal. */
  end(signal: NodeJS.Signals): void;
  /** Called before each line is answered, while no turn is running. */
  beforeLine(): Promise<void>;
  /** Runs a slash command, and reports its errors. Returns `exit` if the chat should end. */
  runSlash(line: { readonly command: string; readonly argument: string }): Promise<'exit' | undefined>;
}

/**
 * Reads lines and answers them until the end of input or `/exit`. The first Ctrl+C cancels the
 * reply, stops a command that waits for the keychain, or clears the line; a second one saves and
 * quits. Returns the error of the last reply, if any, unless the chat is on a terminal.
 */
export async function repl(chat: Chat, { end, beforeLine, runSlash }: ReplParts): Promise<CofferError | undefined> {
  const { terminal, input } = chat;
  let isRunning = false;
  let isArmed = false;
  let isCommanding = false;
  let failed: CofferError | undefined;
  const cancel = (): void => {
    if (isRunning) chat.view.cancel();
  };
  input.chords = { l: '/resume' };
  input.onKey = () => {
    isArmed = false;
  };
  input.onInterrupt = () => {
    if (isCommanding && chat.sessions.keys.stopWaiting()) return;
    if (isArmed) return end('SIGINT');
    isArmed = true;
    if (isRunning) cancel();
    else input.clear('press ctrl+c again to save and quit');
  };
  input.onHangup = () => end('SIGHUP');
  input.onEnd = () => {
    if (terminal.interactive) cancel();
  };
  terminal.onGone = (how) => {
    if (how === 'hangup') return end('SIGHUP');
    input.stop();
    cancel();
  };
  const tellStatus = statusTeller(chat);
  for (;;) {
    const line = await input.next(status(chat) + PROMPT);
    if (line === undefined) break;
    await beforeLine();
    const parsed = parseLine(line);
    if (parsed === undefined) continue;
    if ('command' in parsed) {
      isCommanding = true;
      if ((await runSlash(parsed)) === 'exit') break;
      isCommanding = false;
    } else {
      isRunning = true;
      failed = await answer(chat, parsed.message);
      isRunning = false;
    }
    tellStatus();
  }
  return terminal.interactive ? undefined : failed;
}

/**
 * Answers one prompt, with the reply on stdout and everything else on stderr. Ctrl+C cancels it.
 * Returns the error that it failed with, if any, which was already shown. A cancelled prompt is not
 * an error.
 */
export async function runPrompt(
  chat: Chat,
  { end }: Pick<ReplParts, 'end'>,
  text: string,
): Promise<CofferError | undefined> {
  const { terminal, input } = chat;
  let isCancelled = false;
  const cancel = (): void => {
    isCancelled = true;
    chat.view.cancel();
  };
  input.onInterrupt = () => (isCancelled ? end('SIGINT') : cancel());
  input.onHangup = () => end('SIGHUP');
  terminal.onGone = (how) => (how === 'hangup' ? end('SIGHUP') : cancel());
  const failed = await answer(chat, text);
  statusTeller(chat)();
  return failed;
}

async function answer(chat: Chat, text: string): Promise<CofferError | undefined> {
  if (chat.live.model !== undefined) return chat.view.prompt(text);
  chat.terminal.tell('no model selected; choose one with /model <name>');
  return undefined;
}

/**
 * Returns the status in front of the prompt: `incognito `, or `NOT SAVED since 12:31: disk full `.
 * Empty while everything is saved.
 */
function status(chat: Chat): string {
  if (chat.incognito) return 'incognito ';
  const { unsaved } = chat;
  return unsaved === undefined ? '' : `${describeUnsaved(unsaved)} `;
}

/** Returns a function that reports once when saving fails, and once when it works again. */
function statusTeller(chat: Chat): () => void {
  let told = '';
  return () => {
    const { unsaved } = chat;
    const now = unsaved === undefined ? '' : describeUnsaved(unsaved);
    if (now === told) return;
    chat.terminal.tell(now === '' ? 'saved again' : now);
    told = now;
  };
}

function describeUnsaved({ since, error }: { since: Date; error: CofferError }): string {
  return `NOT SAVED since ${clock(since)}: ${error.reason}`;
}
