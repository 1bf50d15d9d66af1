/*
 * Requests as the servers of test/providers read them, with the fields of all protocols that some
 * rule checks. Fields that no rule checks are omitted.
 */

/** A request. In Anthropic's protocol the system prompt is in `system`, not in a message. */
export interface Body {
  model?: string;
  messages: Message[];
  system?: string | Part[];
  tools?: { name?: string; function?: { name: string }; cache_control?: unknown }[];
  max_tokens?: number;
  max_completion_tokens?: number;
  options?: { num_ctx?: number; num_predict?: number };
  reasoning?: unknown;
}

/** A message of a request. */
export interface Message {
  role: string;
  content?: string | Part[] | null;
  tool_calls?: WireCall[];
  tool_call_id?: string;
  reasoning_content?: string;
  thinking?: string;
  images?: string[];
  tool_name?: string;
  reasoning_details?: unknown[];
}

/** A part of a message's content, called a block by Anthropic. */
export interface Part {
  type: string;
  text?: string;
  image_url?: { url: string };
  source?: unknown;
  id?: string;
  name?: string;
  input?: unknown;
  tool_use_id?: string;
  content?: unknown;
  thinking?: string;
  signature?: string;
  data?: string;
  cache_control?: unknown;
}

/** A call in the OpenAI protocol. */
export interface WireCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
  extra_content?: { google?: { thought_signature?: string } };
}

/** Returns the parts of a message, whichever way its content is written. */
export function partsOf({ content, images = [] }: Message): Part[] {
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
  return [...parts, ...images.map((data) => ({ type: 'image', data }))];
}

/** Returns the messages of the current turn: the last user prompt and everything after it. */
export function presentTurn({ messages }: Body): Message[] {
  const start = messages.findLastIndex(
    (message) => message.role === 'user' && partsOf(message).some(({ type }) => type === 'text'),
  );
  return messages.slice(Math.max(0, start));
}

// Building blocks of handwritten requests.

/** Returns a request of the OpenAI protocol that offers a tool. */
export function body(...messages: Message[]): Body {
  return { model: 'm', messages, tools: [{ function: { name: 'read_file' } }] };
}

/** Returns a user message. */
export const user = (content: Message['content'] = 'hello'): Message => ({ role: 'user', content });
/** Returns an assistant message. */
export const said = (content: Message['content'] = 'hi', more: Partial<Message> = {}): Message => ({
  role: 'assistant',
  content,
  ...more,
});
/** Returns the result of a call. */
export const result = (id: string): Message => ({ role: 'tool', tool_call_id: id, content: 'a file' });

/** Returns a call of `read_file`. */
export function call(id: string, path = 'notes.txt', more: Partial<WireCall> = {}): WireCall {
  return { id, type: 'function', function: { name: 'read_file', arguments: JSON.stringify({ path }) }, ...more };
}

/** Returns a message that calls tools. */
export const calling = (...calls: WireCall[]): Message => ({ role: 'assistant', content: '', tool_calls: calls });

/** A user message with an image. */
export const picture: Message = user([
  { type: 'text', text: 'look' },
  { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
]);
