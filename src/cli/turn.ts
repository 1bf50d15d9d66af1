import { type Compacted, canCompact, compact } from '../chat/compact.ts';
import { type CallEnd, type PromptContent, type TurnEvents, turn } from '../chat/loop.ts';
import type { Wait } from '../chat/reply.ts';
import { type CofferError, isCofferError } from '../errors.ts';
import { countMessages } from '../terminal/rows.ts';
import { approverOf, toolBoxOf } from './approve.ts';
import type { Chat } from './chat.ts';

/**
 * Takes one turn and shows it: replies on stdout, what tools do and all else on stderr. `running` cancels it. Gives the error it failed
 * with; a cancelled one is told, and no error.
 */
export async function answer(chat: Chat, text: string, running: AbortController): Promise<CofferError | undefined> {
  const { terminal, session, model, settings } = chat;
  if (model === undefined) {
    terminal.tell('no model is there to answer; /model <name> chooses one');
    return undefined;
  }
  const prompt = await promptOf(chat, text, running);
  if (typeof prompt === 'object' && 'unsent' in prompt) return prompt.unsent;
  let reply = await terminal.startReply();
  let thinking = false;
  const events: TurnEvents = {
    onText: (delta) => reply.push(delta),
    onReasoning() {
      if (!thinking && terminal.interactive) terminal.tell('thinking');
      thinking = true;
    },
    async onReplyEnd() {
      reply.end();
      reply = await terminal.startReply();
      thinking = false;
    },
    onCallEnd(end) {
      terminal.tell(describeCall(end));
      if (end.unattended && end.outcome === 'denied') tellUnattended(chat);
    },
    onWait: (wait) => terminal.tellWait(wait),
    onRefused: (what) => terminal.tell(`${model.name} takes no ${what}; it is asked without them`),
    onContextWarning: (context) => terminal.tell(describeContext(context)),
    onCompacted: (compacted) => terminal.tell(describeCompacted(compacted, settings.keepMessages)),
    onCompactionFailed: (error) => tellNotSummarised(terminal, error),
  };
  const { maxMessages, saveInterval, maxTurns, maxToolCalls, autoCompactAt, keepMessages } = settings;
  const limits = { maxMessages, saveInterval, maxTurns, maxToolCalls, autoCompactAt, keepMessages };
  const tools = model.refuses.has('tools') ? undefined : await toolBoxOf(chat);
  const approve = approverOf(chat, () => running.abort());
  const result = await turn(session, model, prompt, events, running.signal, { ...limits, tools, approve });
  reply.end();
  if (result.outcome === 'cancelled')
    terminal.tell(result.text === '' ? 'cancelled' : 'cancelled; what arrived is kept');
  if (result.error !== undefined) terminal.tell(result.error.message);
  if (result.error !== undefined) terminal.tellSaid(result.error);
  return result.error;
}

/** The prompt with its files, or why it is not sent, which is told; a cancelled one is no error. */
async function promptOf(
  chat: Chat,
  text: string,
  running: AbortController,
): Promise<PromptContent | { unsent: CofferError | undefined }> {
  if (!text.includes('@')) return text;
  const { attachFiles } = await import('./attached.ts');
  try {
    return await attachFiles(chat, text, running);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    const isCancelled = error.code === 'CANCELLED';
    chat.terminal.tell(isCancelled ? 'cancelled; nothing is sent' : `nothing is sent: ${error.message}`);
    return { unsent: isCancelled ? undefined : error };
  }
}

/** Says what a compaction did, in one line. */
export function describeCompacted({ messages }: Compacted, keepMessages: number): string {
  if (messages === 0) {
    return `nothing to summarise: the newest ${countMessages(keepMessages)} stay as they are (keepMessages)`;
  }
  return `summarised ${countMessages(messages)} for the model; the record keeps them`;
}

/**
 * Summarises older messages at the end of a conversation, where the settings say so and there is something to summarise; Ctrl+C leaves it
 * out. What fails is told.
 */
export async function compactOnFinish(chat: Chat): Promise<void> {
  const { terminal, input, session, model, settings } = chat;
  const { keepMessages } = settings;
  if (!settings.compactOnFinish || model === undefined || !canCompact(session.state, keepMessages, model)) return;
  const running = new AbortController();
  const before = input.onInterrupt;
  input.onInterrupt = () => running.abort();
  terminal.tell('summarising older messages');
  try {
    const onWait = (wait: Wait): void => terminal.tellWait(wait);
    const compacted = await compact(session, model, { keepMessages, signal: running.signal, onWait });
    terminal.tell(describeCompacted(compacted, keepMessages));
  } catch (error) {
    if (!isCofferError(error)) throw error;
    tellNotSummarised(terminal, error);
  } finally {
    input.onInterrupt = before;
  }
}

function tellNotSummarised(terminal: Chat['terminal'], error: CofferError): void {
  terminal.tell(`not summarised, everything is as it was: ${error.message}`);
  terminal.tellSaid(error);
}

function describeContext({ tokens, window, refused }: { tokens: number; window: number; refused: boolean }): string {
  if (refused) return 'the conversation is longer than the model takes: summarising older messages';
  const share = Math.round((tokens / window) * 100);
  const [used, most] = [tokens, window].map((count) => count.toLocaleString('en-US'));
  return `the context has ${used} of ${most} tokens (${share} %): summarising older messages`;
}

/** One line: the tool, what it was about, and how it ended where that is not as it should be. */
function describeCall({ call, outcome, text }: CallEnd): string {
  const subject = subjectOf(call.input);
  const what = subject === '' ? call.toolName : `${call.toolName} ${subject}`;
  if (outcome === 'completed') return what;
  return `${what}: ${outcome === 'failed' ? cut(reasonIn(text)) : outcome}`;
}

function subjectOf(input: unknown): string {
  const values = typeof input === 'object' && input !== null ? Object.values(input) : [];
  const named = ['command', 'path', 'pattern', 'query'].map((name) => Reflect.get(Object(input), name));
  const subject = [...named, ...values].find((value) => typeof value === 'string') ?? '';
  return cut(subject.trim());
}

function reasonIn(text: string): string {
  const [, ending] = /\[([^\]\n]+)\]\s*$/.exec(text) ?? [];
  if (ending !== undefined) return ending.replace('exit status', 'exit');
  return text.trim();
}

function cut(text: string): string {
  const [line = '', ...more] = text.split('\n');
  return line.length > 100 || more.length > 0 ? `${line.slice(0, 99)}…` : line;
}

/** Said once in a chat: what is missing is the same every time. */
function tellUnattended(chat: Chat): void {
  if (unattended.has(chat)) return;
  unattended.add(chat);
  chat.terminal.tell(
    'nobody is here to allow it; permissions.allow in the settings says what tools may do without asking',
  );
}

const unattended = new WeakSet<Chat>();
