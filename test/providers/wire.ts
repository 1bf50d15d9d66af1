/*
 * Requests as the servers of test/providers read them: the fields of all protocols that some rule looks at. What a server
 * does not look at is left out.
 */

/** A request. Anthropic's has `system` and no message of that role. */
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

/** A part of a message's content, a block in Anthropic's words. */
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

/** The parts of a message, whichever way its content is written. */
export function partsOf({ content, images = [] }: Message): Part[] {
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
  return [...parts, ...images.map((data) => ({ type: 'image', data }))];
}

/** The messages from the last words of the user on: the turn that the request is about. */
export function presentTurn({ messages }: Body): Message[] {
  const start = messages.findLastIndex(
    (message) => message.role === 'user' && partsOf(message).some(({ type }) => type === 'text'),
  );
  return messages.slice(Math.max(0, start));
}

// Requests written by hand are made of these.

/** A request of the OpenAI protocol that offers a tool. */
export function body(...messages: Message[]): Body {
  return { model: 'm', messages, tools: [{ function: { name: 'read_file' } }] };
}

export const user = (content: Message['content'] = 'hello'): Message => ({ role: 'user', content });
export const said = (content: Message['content'] = 'hi', more: Partial<Message> = {}): Message => ({
  role: 'assistant',
  content,
  ...more,
});
export const result = (id: string): Message => ({ role: 'tool', tool_call_id: id, content: 'a file' });

/** A call of `read_file`. */
export function call(id: string, path = 'notes.txt', more: Partial<WireCall> = {}): WireCall {
  return { id, type: 'function', function: { name: 'read_file', arguments: JSON.stringify({ path }) }, ...more };
}

/** A message that calls tools. */
export const calling = (...calls: WireCall[]): Message => ({ role: 'assistant', content: '', tool_calls: calls });

/** A user's message with a picture. */
export const picture: Message = user([
  { type: 'text', text: 'look' },
  { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
]);
