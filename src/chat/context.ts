import type { Message, Part } from '../session/event.ts';
import type { State } from '../session/state.ts';
import { shortenForModel } from './tools/shorten.ts';

/*
 * What a model is sent is made of the record for each request, and nothing of that goes back into it: a summary stands in for
 * what it replaces, long outputs are shortened, and what a crash left half is completed.
 */

/** What a conversation is made of, as a context needs it. */
export type Conversation = Pick<State, 'messages' | 'messageEvents' | 'compaction' | 'contextTokens'>;

/**
 * Gives the messages for the next request: what the last compaction left, with its summary before them, at most `maxMessages` of the
 * newest. They begin with one of the user's, and each call of a tool has its result behind it. Without `tools` calls and results are told
 * as text: some servers refuse them where no tool is offered.
 */
export function contextOf(
  conversation: Conversation,
  { maxMessages = Number.POSITIVE_INFINITY, tools = true }: { maxMessages?: number | undefined; tools?: boolean } = {},
): Message[] {
  const left = live(conversation);
  const told = left.filter(({ role }) => role !== 'system');
  const sent = newest(told, maxMessages).map(shortenForModel);
  const summary = conversation.compaction?.summary;
  return [
    ...left.filter(({ role }) => role === 'system'),
    ...(summary === undefined ? [] : [{ role: 'system', content: `${SUMMARY}\n\n${summary}` } as const]),
    ...(tools ? paired(sent) : sent.map(asText)),
  ];
}

/** How many of the messages, counted from the first, a compaction has replaced. */
export function replacedCount({ messageEvents, compaction }: Conversation): number {
  if (compaction === undefined) return 0;
  const first = messageEvents.findIndex((id) => id > compaction.through);
  return first === -1 ? messageEvents.length : first;
}

/** More tokens than any request has: a server that counts more counts something else. */
const IMPOSSIBLE = 2 ** 40;

/**
 * How many tokens the next request has: what the last one was said to have and what came after its reply, else an estimate of all.
 */
export function tokensOf(conversation: Conversation): number {
  const { messages, contextTokens } = conversation;
  if (contextTokens === null || contextTokens > IMPOSSIBLE) return estimate(contextOf(conversation));
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  return contextTokens + estimate(messages.slice(last + 1).map(shortenForModel));
}

/** Guesses how many tokens messages have: four bytes of UTF-8 to one, which is near for prose and code, and high for other scripts. */
function estimate(messages: readonly Message[]): number {
  const bytes = messages.reduce((sum, { content }) => {
    return sum + Buffer.byteLength(typeof content === 'string' ? content : JSON.stringify(content)) + 16;
  }, 0);
  return Math.ceil(bytes / 4);
}

/** What a result says in words; what is no text as JSON. */
export function outputText(output: unknown): string {
  const value = typeof output === 'object' && output !== null && 'value' in output ? output.value : output;
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

const SUMMARY = 'Summary of the conversation so far; its messages are no longer shown:';
const INTERRUPTED = 'interrupted: how it ended is not known, look before you do it again';

type Call = Extract<Part, { type: 'tool-call' }>;
type Result = Extract<Part, { type: 'tool-result' }>;

/** The messages that no summary stands for; those of the system always count. */
function live(conversation: Conversation): Message[] {
  const replaced = replacedCount(conversation);
  return conversation.messages.filter(({ role }, at) => at >= replaced || role === 'system');
}

/**
 * At most `count` messages. A call and its results are never parted; where the newest ones of a long turn leave no room for the words it began
 * with, those come along all the same.
 */
function newest(messages: readonly Message[], count: number): Message[] {
  const start = Math.max(0, messages.length - count);
  const first = messages.findIndex(({ role }, at) => at >= start && role === 'user');
  if (first !== -1) return messages.slice(first);
  const asked = messages.findLastIndex(({ role }) => role === 'user');
  if (asked === -1) return [...messages];
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  const fits = messages.findIndex(({ role }, at) => at > asked && at > start && role === 'assistant');
  const from = fits === -1 ? Math.max(last, asked + 1) : fits;
  return [...messages.slice(asked, asked + 1), ...messages.slice(from)];
}

/** Puts the result of each call behind it, whatever the record has in between, and gives both names that every server takes. */
function paired(messages: readonly Message[]): Message[] {
  const names = new Names();
  return messages.flatMap((message, at): Message[] => {
    if (message.role === 'tool') return [];
    if (message.role !== 'assistant' || typeof message.content === 'string') return [message];
    const results = resultsBehind(messages, at);
    const done: Result[] = [];
    const content = message.content.map((part) => {
      if (part.type !== 'tool-call') return part;
      const named = names.of(part);
      const at = results.findIndex(({ toolCallId }) => toolCallId === part.toolCallId);
      const [found] = at === -1 ? [] : results.splice(at, 1);
      done.push({ type: 'tool-result', ...named, output: found?.output ?? { type: 'error-text', value: INTERRUPTED } });
      return { type: 'tool-call' as const, ...named, input: isObject(part.input) ? part.input : {} };
    });
    return done.length === 0
      ? [message]
      : [
          { role: 'assistant', content },
          { role: 'tool', content: done },
        ];
  });
}

function resultsBehind(messages: readonly Message[], at: number): Result[] {
  const found: Result[] = [];
  for (let next = at + 1; ; next++) {
    const message = messages[next];
    if (message?.role !== 'tool') return found;
    found.push(...message.content);
  }
}

/** Servers refuse the whole conversation for one name or id that they would not have given: another one's model, or a broken reply. */
class Names {
  readonly #used: Set<string> = new Set();

  of({ toolCallId, toolName }: Call): Pick<Call, 'toolCallId' | 'toolName'> {
    const fits = /^[A-Za-z0-9_-]{1,64}$/.test(toolCallId) && !this.#used.has(toolCallId);
    let id = fits ? toolCallId : `call_${this.#used.size + 1}`;
    while (this.#used.has(id)) id += '_';
    this.#used.add(id);
    return { toolCallId: id, toolName: toolName.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'unknown' };
  }
}

function asText(message: Message): Message {
  if (message.role === 'tool') {
    const told = message.content.map(({ toolName, output }) => `[result of ${toolName}]\n${outputText(output)}`);
    return { role: 'user', content: told.join('\n\n') };
  }
  if (message.role !== 'assistant' || typeof message.content === 'string') return message;
  return { role: 'assistant', content: message.content.map((part) => (part.type === 'tool-call' ? said(part) : part)) };
}

function said({ toolName, input }: Call): Part & { type: 'text' } {
  return { type: 'text', text: `[call of ${toolName}: ${JSON.stringify(input) ?? ''}]` };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
