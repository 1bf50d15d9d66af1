import { type FilePart, nameOfFile, readAttachment } from '../session/event/attachment.ts';
import { type Instructions, isObject, type Message, type Part } from '../session/event/event.ts';
import type { State } from '../session/state.ts';
import { shortenForModel } from './tools/shorten.ts';

/*
 * The context of each request is built from the record, and nothing is written back: a summary
 * stands in for the messages it replaces, long outputs are shortened, and whatever a crash left
 * incomplete is completed.
 */

/** The parts of a session's state that a context is built from. */
export type Conversation = Pick<
  State,
  'messages' | 'messageEvents' | 'messageModels' | 'compaction' | 'contextTokens' | 'model'
> &
  Partial<Pick<State, 'instructions'>>;

/** Options of {@link contextOf}. */
export interface ContextOptions {
  /** Most messages to send; the newest are kept. Default: all. */
  readonly maxMessages?: number | undefined;
  /**
   * Whether tools are offered. If false, calls and results are sent as text: some servers refuse
   * them when no tool is offered. Default: true.
   */
  readonly tools?: boolean | undefined;
  /** Whether images and PDFs are sent. If false, only their names are. Default: true. */
  readonly files?: boolean | undefined;
  /** The model the context is for, as `provider/model`. Default: the session's. */
  readonly model?: string | undefined;
}

/**
 * Returns the messages of the next request, in a form that every provider accepts: at most one
 * system message, then alternating user and assistant messages, starting with the user. Each call
 * is followed by its result, and results by the assistant; no message is blank. Reasoning and
 * `providerOptions` are sent only to the model that wrote them.
 */
export function contextOf(conversation: Conversation, options: ContextOptions = {}): Message[] {
  const { maxMessages = Number.POSITIVE_INFINITY, tools = true, files = true, model = conversation.model } = options;
  const left = live(conversation, model);
  const speaking = left
    .filter(({ role }) => role !== 'system')
    .map((message) => withFiles(message, files))
    .map(withoutBlanks)
    .filter(saysSomething);
  const sent = newest(speaking, maxMessages).map(shortenForModel);
  const summary = conversation.compaction?.summary;
  const system = [
    ...(conversation.instructions ?? []).map(instructionText),
    ...left.filter(({ role }) => role === 'system').map(({ content }) => content as string),
    ...(summary === undefined ? [] : [`${SUMMARY}\n\n${summary}`]),
  ].filter((text) => text.trim() !== '');
  return [
    ...(system.length === 0 ? [] : [{ role: 'system', content: system.join('\n\n') } as const]),
    ...merged(tools ? ended(paired(sent)) : sent.map(asText)),
  ];
}

/** Returns how many of the oldest messages a compaction has replaced. */
export function replacedCount({ messageEvents, compaction }: Conversation): number {
  if (compaction === undefined) return 0;
  const first = messageEvents.findIndex((id) => id > compaction.through);
  return first === -1 ? messageEvents.length : first;
}

/** More tokens than any request can have. A server that reports more is counting something else. */
const IMPOSSIBLE = 2 ** 40;

/**
 * Returns the number of tokens of the next request: the reported size of the last one plus an
 * estimate of what came after its reply, or an estimate of everything.
 */
export function tokensOf(conversation: Conversation): number {
  const { messages, contextTokens } = conversation;
  if (contextTokens === null || contextTokens > IMPOSSIBLE) return estimate(contextOf(conversation));
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  return contextTokens + estimate(messages.slice(last + 1).map(shortenForModel));
}

/**
 * Estimates the tokens of messages at four bytes of UTF-8 each, which is close for prose and code
 * and too high for other scripts.
 */
export function estimate(messages: readonly Message[]): number {
  return Math.ceil(messages.reduce((sum, { content }) => sum + bytesOf(content) + 16, 0) / BYTES_OF_A_TOKEN);
}

const BYTES_OF_A_TOKEN = 4;

/** About the most tokens an image takes: Anthropic documents 1,600, others fewer. */
const IMAGE_TOKENS = 1_600;

/**
 * About how many bytes of a PDF make a token: a page takes some 2,000 tokens, and 100 KB if it has
 * pictures.
 */
const PDF_BYTES_OF_A_TOKEN = 50;

/**
 * Returns the length of a content as text, in bytes; anything else counts as text of the same
 * number of tokens.
 */
function bytesOf(content: Message['content']): number {
  if (typeof content === 'string') return Buffer.byteLength(content);
  const parts: readonly Part[] = content;
  return parts.reduce((sum, part) => {
    if (part.type === 'text' || part.type === 'reasoning') return sum + Buffer.byteLength(part.text) + 30;
    if (part.type === 'file') return sum + fileTokens(part) * BYTES_OF_A_TOKEN;
    return sum + Buffer.byteLength(JSON.stringify(part));
  }, 0);
}

function fileTokens({ mediaType, data }: FilePart): number {
  const size = Buffer.byteLength(data, 'base64');
  if (/^image\//i.test(mediaType)) return IMAGE_TOKENS;
  return size / (/^application\/pdf$/i.test(mediaType) ? PDF_BYTES_OF_A_TOKEN : BYTES_OF_A_TOKEN);
}

/** Returns a result as text; a value that is not text is returned as JSON. */
export function outputText(output: unknown): string {
  const value = typeof output === 'object' && output !== null && 'value' in output ? output.value : output;
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function instructionText({ source, text }: Instructions): string {
  return source === 'system' || text === '' ? text : `${AGENTS}\n\n${text}`;
}

const AGENTS = 'Instructions from the AGENTS.md of the directory:';
const SUMMARY = 'Summary of the conversation so far; its messages are no longer shown:';
const STOPPED = '(stopped before a reply to these results)';
const INTERRUPTED = 'interrupted: its outcome is unknown, check before you repeat it';

type Call = Extract<Part, { type: 'tool-call' }>;
type Result = Extract<Part, { type: 'tool-result' }>;

/**
 * Returns all system messages and the messages not replaced by a summary, without parts that only a
 * model other than `model` understands.
 */
function live(conversation: Conversation, model: string): Message[] {
  const { messages, messageModels } = conversation;
  const replaced = replacedCount(conversation);
  // A summary may end within a turn: the prompt of that turn stays.
  const isWithin = messages[replaced]?.role === 'assistant';
  const prompt = isWithin ? messages.findLastIndex(({ role }, at) => at < replaced && role === 'user') : -1;
  return messages.flatMap((message, at) => {
    if (at < replaced && at !== prompt && message.role !== 'system') return [];
    return [messageModels[at] === model ? message : withoutOrigin(message)];
  });
}

function withoutOrigin(message: Message): Message {
  if (typeof message.content === 'string') return message;
  const parts: Part[] = message.content;
  const content = parts.filter(({ type }) => type !== 'reasoning').map(({ providerOptions: _, ...part }) => part);
  return { ...message, content } as Message;
}

/**
 * Replaces text files with their text. Files that are broken, or that the model does not accept,
 * become a note.
 */
function withFiles(message: Message, files: boolean): Message {
  if (typeof message.content === 'string') return message;
  const parts: Part[] = message.content;
  if (parts.every(({ type }) => type !== 'file')) return message;
  return {
    ...message,
    content: parts.map((part) => (part.type === 'file' ? fileFor(message, part, files) : part)),
  } as Message;
}

function fileFor({ role }: Message, part: FilePart, files: boolean): Part {
  const name = nameOfFile(part);
  const found = readAttachment(part);
  if (found.kind === 'text') return { type: 'text', text: `[file ${name}]\n${found.text}` };
  if (found.kind === 'broken') return { type: 'text', text: `[file ${name}, omitted: ${found.reason}]` };
  const { mediaType, data } = found;
  // No protocol allows files in an assistant message.
  if (!files || role === 'assistant') return { type: 'text', text: `[file ${name}, which you can't see]` };
  return { ...part, mediaType, data };
}

function withoutBlanks(message: Message): Message {
  if (typeof message.content === 'string') return message;
  const parts: Part[] = message.content;
  return parts.some(isBlank) ? ({ ...message, content: parts.filter((part) => !isBlank(part)) } as Message) : message;
}

function isBlank(part: Part): boolean {
  return part.type === 'text' && part.text.trim() === '';
}

/**
 * Tells whether a message has anything to send. Reasoning alone does not count: a reply that was
 * cut off while the model was reasoning can't be continued.
 */
function saysSomething({ content }: Message): boolean {
  if (typeof content === 'string') return content.trim() !== '';
  const parts: Part[] = content;
  return parts.some(({ type }) => type !== 'reasoning');
}

/**
 * Joins neighbours with the same role. Some servers refuse two user messages in a row, which a
 * prompt without a reply leaves behind.
 */
function merged(messages: readonly Message[]): Message[] {
  const joined: Message[] = [];
  for (const message of messages) {
    const last = joined.at(-1);
    if (last?.role === message.role) joined[joined.length - 1] = join(last, message);
    else joined.push(message);
  }
  return joined;
}

function join(first: Message, second: Message): Message {
  const [a, b] = [first.content, second.content];
  const content = typeof a === 'string' && typeof b === 'string' ? `${a}\n\n${b}` : [...partsOf(a), ...partsOf(b)];
  return { ...first, content } as Message;
}

function partsOf(content: Message['content']): readonly Part[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

/**
 * Returns the newest messages, normally at most `count`. A call is never separated from its
 * results. If the newest messages of a long turn leave no room for the prompt that began it, that
 * prompt is added anyway.
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

/**
 * Puts each call's result right after it, whatever the record has in between, and gives calls ids
 * and names that every server accepts.
 */
function paired(messages: readonly Message[]): Message[] {
  const names = new Names();
  return messages.flatMap((message, at): Message[] => {
    if (message.role === 'tool') return [];
    if (message.role !== 'assistant' || typeof message.content === 'string') return [message];
    if (message.content.every(({ type }) => type !== 'tool-call')) return [message];
    const results = resultsBehind(messages, at);
    const done: Result[] = [];
    const content = message.content.map((part) => {
      if (part.type !== 'tool-call') return part;
      const named = names.of(part);
      const at = results.findIndex(({ toolCallId }) => toolCallId === part.toolCallId);
      const [found] = at === -1 ? [] : results.splice(at, 1);
      done.push({ type: 'tool-result', ...named, output: found?.output ?? { type: 'error-text', value: INTERRUPTED } });
      return { ...part, ...named, input: isObject(part.input) ? part.input : {} };
    });
    return [
      { role: 'assistant', content },
      { role: 'tool', content: done },
    ];
  });
}

/**
 * Ends turns that stopped at their results before the next prompt. Mistral and its chat templates
 * accept no user message after results, and Anthropic requires the reasoning of the last calls if
 * no assistant message followed.
 */
function ended(messages: readonly Message[]): Message[] {
  return messages.flatMap((message, at): Message[] => {
    const stopped = message.role === 'user' && messages[at - 1]?.role === 'tool';
    return stopped ? [{ role: 'assistant', content: STOPPED }, message] : [message];
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

/**
 * Assigns ids and names that every provider accepts: OpenAI takes ids of at most 40 characters,
 * Mistral exactly nine of [A-Za-z0-9], and a conversation may have calls from several providers and
 * from broken replies. The same calls always get the same ids, so that a provider's prompt cache
 * stays valid.
 */
class Names {
  #count = 0;

  of({ toolName }: Call): Pick<Call, 'toolCallId' | 'toolName'> {
    this.#count++;
    const toolCallId = `call${this.#count.toString(36).padStart(5, '0')}`;
    return { toolCallId, toolName: toolName.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'unknown' };
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
