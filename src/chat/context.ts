import { type FilePart, nameOfFile, readAttachment } from '../session/event/attachment.ts';
import type { Instructions, Message, Part } from '../session/event/event.ts';
import type { State } from '../session/state.ts';
import { shortenForModel } from './tools/shorten.ts';

/*
 * What a model is sent is made of the record for each request, and nothing of that goes back into it: a summary stands in for
 * what it replaces, long outputs are shortened, and what a crash left half is completed.
 */

/** The parts of a session's state that a context is made from. */
export type Conversation = Pick<
  State,
  'messages' | 'messageEvents' | 'messageModels' | 'compaction' | 'contextTokens' | 'model'
> &
  Partial<Pick<State, 'instructions'>>;

/** Options of {@link contextOf}. */
export interface ContextOptions {
  /** Most messages to send; the newest are kept. Default: all. */
  readonly maxMessages?: number | undefined;
  /** Whether tools are offered. If false, calls and results are sent as text: some servers refuse them when no tool is offered. Default: true. */
  readonly tools?: boolean | undefined;
  /** Whether images and PDFs are sent. If false, the model is told their names. Default: true. */
  readonly files?: boolean | undefined;
  /** The model it is for, `provider/model`. Default: the session's. */
  readonly model?: string | undefined;
}

/**
 * Returns the messages of the next request, as every provider accepts them: one system message at most, then user and assistant in turn,
 * beginning with the user; each call is followed by its result, and results by the assistant; nothing is blank. Reasoning and `providerOptions` are sent to the model
 * that wrote them only.
 */
export function contextOf(conversation: Conversation, options: ContextOptions = {}): Message[] {
  const { maxMessages = Number.POSITIVE_INFINITY, tools = true, files = true, model = conversation.model } = options;
  const left = live(conversation, model);
  const told = left
    .filter(({ role }) => role !== 'system')
    .map((message) => withFiles(message, files))
    .map(withoutBlanks)
    .filter(saysSomething);
  const sent = newest(told, maxMessages).map(shortenForModel);
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
export function estimate(messages: readonly Message[]): number {
  return Math.ceil(messages.reduce((sum, { content }) => sum + bytesOf(content) + 16, 0) / BYTES_OF_A_TOKEN);
}

const BYTES_OF_A_TOKEN = 4;

/** About what an image takes at most: Anthropic says 1,600 tokens, the others fewer. */
const IMAGE_TOKENS = 1_600;

/** How many bytes of a PDF go on a token, about: a page takes some 2,000, and has 100 KB if it has pictures. */
const PDF_BYTES_OF_A_TOKEN = 50;

/** How long a content is as text, in bytes; what is no text counts as text of as many tokens. */
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

/** What a result says in words; what is no text as JSON. */
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
const INTERRUPTED = 'interrupted: how it ended is not known, look before you do it again';

type Call = Extract<Part, { type: 'tool-call' }>;
type Result = Extract<Part, { type: 'tool-result' }>;

/** The messages that no summary stands for, and all system messages, without what only another model than `model` understands. */
function live(conversation: Conversation, model: string): Message[] {
  const { messages, messageModels } = conversation;
  const replaced = replacedCount(conversation);
  // A summary may end within a turn: the words it began with stay.
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

/** Sends text files as text, and tells in words of files that are broken, or that the model doesn't take. */
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
  if (found.kind === 'broken') return { type: 'text', text: `[file ${name}, left out: ${found.reason}]` };
  const { mediaType, data } = found;
  // The protocols have no place for files in what a model has said.
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

/** Whether anything is left to send. Reasoning alone isn't: a reply that was cut off while the model was reasoning can't be continued. */
function saysSomething({ content }: Message): boolean {
  if (typeof content === 'string') return content.trim() !== '';
  const parts: Part[] = content;
  return parts.some(({ type }) => type !== 'reasoning');
}

/** Joins neighbours of one role: some servers refuse two user messages in a row, which is what a prompt without a reply leaves. */
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
 * Ends turns that stopped at their results before the next prompt: Mistral and its chat templates take no user behind results, and Anthropic
 * wants the reasoning of the last calls if nothing was said since.
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
 * Ids and names as every provider accepts them: OpenAI takes ids of at most 40 characters, Mistral exactly nine of [A-Za-z0-9], and a
 * conversation may have calls of several providers and of broken replies. The same calls always get the same ids, so that a provider's
 * cache of the prompt stays valid.
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

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
