import { halves } from './chunks.ts';
import { type Dialect, nextCall, type Reply, type Rule, sign } from './dialect.ts';
import { type Body, type Message, type Part, partsOf, user } from './wire.ts';

const id = 'anthropic';

const call: Part = { type: 'tool_use', id: 'toolu_1', name: 'read_file', input: {} };
const result: Part = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'a file' };
const thought: Part = { type: 'thinking', thinking: 'hm', signature: sign(id, 'hm') };
const assistant = (...content: Part[]): Message => ({ role: 'assistant', content });
const ask = (...messages: Message[]): Body => ({ model: 'm', max_tokens: 100, messages });

/** The fields that each block of a request may have. */
const fields: Readonly<Record<string, readonly string[]>> = {
  text: ['text', 'cache_control', 'citations'],
  image: ['source', 'cache_control'],
  document: ['source', 'title', 'context', 'citations', 'cache_control'],
  thinking: ['thinking', 'signature'],
  redacted_thinking: ['data'],
  tool_use: ['id', 'name', 'input', 'cache_control', 'caller'],
  tool_result: ['tool_use_id', 'content', 'is_error', 'cache_control'],
};

function allParts({ messages }: Body): Part[] {
  return messages.flatMap(partsOf);
}

function ofType(message: Message | undefined, type: string): Part[] {
  return message === undefined ? [] : partsOf(message).filter((part) => part.type === type);
}

/** Returns the last message with calls, the one whose thinking must be kept. */
function lastCalling({ messages }: Body): Message | undefined {
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  return ofType(messages[last], 'tool_use').length > 0 ? messages[last] : undefined;
}

/**
 * Tells whether a call of this server has lost its thinking: a reply with calls starts with both
 * kinds.
 */
function hasLostThinking(request: Body): boolean {
  const message = lastCalling(request);
  if (message === undefined) return false;
  const [first, second] = partsOf(message).map(({ type }) => type);
  const isOwn = ofType(message, 'tool_use').some(({ input }) => JSON.stringify(input).includes(`"${id}-`));
  return isOwn ? first !== 'thinking' || second !== 'redacted_thinking' : !/thinking$/.test(first ?? '');
}

function hasChangedThinking(request: Body): boolean {
  return allParts(request).some((part) => {
    if (part.type === 'redacted_thinking') return part.data !== sign(id, 'redacted');
    return part.type === 'thinking' && part.signature !== sign(id, part.thinking ?? '');
  });
}

function cacheMarks({ system, tools = [], messages }: Body): number {
  const marked = [...(Array.isArray(system) ? system : []), ...tools, ...messages.flatMap(partsOf)];
  return marked.filter((part) => part.cache_control !== undefined).length;
}

const rules: readonly Rule[] = [
  {
    refused: 'text blocks that contain only white space',
    coffer: 'omits blank text; the record keeps it',
    source: 'https://github.com/anthropics/claude-code/issues/23440',
    breaks: (request) => allParts(request).some(({ type, text }) => type === 'text' && text?.trim() === ''),
    example: ask(user(), assistant({ type: 'text', text: ' \n' }), user()),
  },
  {
    refused: 'a message with calls in the current turn without its thinking',
    coffer: 'stores thinking and redacted thinking with the reply and sends them back to that model',
    source: 'https://github.com/deepset-ai/haystack-core-integrations/issues/2146',
    breaks: hasLostThinking,
    example: ask(user(), assistant(call), user([result])),
  },
  {
    refused: 'thinking with a changed text or signature, or written by another model',
    coffer: 'sends thinking unchanged, and only to the model that wrote it',
    source: 'https://github.com/anthropics/claude-code/issues/63548',
    breaks: hasChangedThinking,
    example: ask(user(), assistant({ ...thought, thinking: 'ha' }, call), user([result])),
  },
  {
    refused: 'a call whose result is not in the next message',
    coffer: 'adds a result that says the call was interrupted',
    source: 'https://github.com/anthropics/claude-code/issues/8210',
    breaks: ({ messages }) =>
      messages.some((message, at) => {
        const answered = ofType(messages[at + 1], 'tool_result').map(({ tool_use_id }) => tool_use_id);
        return ofType(message, 'tool_use').some((part) => !answered.includes(part.id));
      }),
    example: ask(user(), assistant(thought, call), user()),
  },
  {
    refused: 'a result whose call is not in the previous message',
    coffer: 'omits results without a call',
    source: 'https://github.com/anthropics/claude-code/issues/18947',
    breaks: ({ messages }) =>
      messages.some((message, at) => {
        const called = ofType(messages[at - 1], 'tool_use').map((part) => part.id);
        return ofType(message, 'tool_result').some(({ tool_use_id }) => !called.includes(tool_use_id));
      }),
    example: ask(user([result])),
  },
  {
    refused: 'more than four blocks with `cache_control`',
    coffer: 'marks at most four',
    source: 'https://github.com/tghamm/Anthropic.SDK/issues/50',
    breaks: (request) => cacheMarks(request) > 4,
    example: ask(
      user(Array.from({ length: 5 }, () => ({ type: 'text', text: 'hello', cache_control: { type: 'ephemeral' } }))),
    ),
  },
  {
    refused: 'an unknown field of a block',
    coffer: 'sends provider-specific fields of a part only to that provider',
    source: 'https://github.com/anthropics/claude-code/issues/4378',
    breaks: (request) =>
      allParts(request).some((part) =>
        Object.keys(part).some((name) => name !== 'type' && !fields[part.type]?.includes(name)),
      ),
    example: ask(user(), assistant(thought, { ...call, text: '' }), user([result])),
  },
  {
    refused: 'a conversation that ends with the assistant',
    coffer: 'sends a request only after a prompt or a result',
    source: 'https://github.com/HKUDS/nanobot/pull/3297',
    breaks: ({ messages }) => messages.at(-1)?.role === 'assistant',
    example: ask(user(), assistant({ type: 'text', text: 'hi' })),
  },
];

/**
 * Anthropic's Messages API with thinking. Events:
 * https://platform.claude.com/docs/build-with-claude/streaming
 */
export const anthropic: Dialect = {
  id,
  title: 'Anthropic',
  protocol: 'anthropic',
  local: false,
  reasoning: 'signed `thinking` and `redacted_thinking` blocks',
  ids: '`toolu_` and 24 letters or digits',
  rules,
  write: eventsOf,
};

function eventsOf({ reasoning, text, calls }: Reply): object[] {
  const blocks: { start: object; deltas: object[] }[] = [
    {
      start: { type: 'thinking', thinking: '', signature: '' },
      deltas: [
        ...halves(reasoning).map((thinking) => ({ type: 'thinking_delta', thinking })),
        { type: 'signature_delta', signature: sign(id, reasoning) },
      ],
    },
    { start: { type: 'redacted_thinking', data: sign(id, 'redacted') }, deltas: [] },
  ];
  const pieces = halves(text);
  if (pieces.length > 0) {
    const deltas = pieces.map((piece) => ({ type: 'text_delta', text: piece }));
    blocks.push({ start: { type: 'text', text: '' }, deltas });
  }
  for (const { name, input } of calls) {
    const start = { type: 'tool_use', id: `toolu_${String(nextCall()).padStart(24, 't')}`, name, input: {} };
    const deltas = halves(JSON.stringify(input)).map((partial_json) => ({ type: 'input_json_delta', partial_json }));
    blocks.push({ start, deltas });
  }
  const usage = { input_tokens: 20, output_tokens: 0 };
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], usage };
  return [
    { type: 'message_start', message },
    ...blocks.flatMap(({ start, deltas }, index) => [
      { type: 'content_block_start', index, content_block: start },
      ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
      { type: 'content_block_stop', index },
    ]),
    {
      type: 'message_delta',
      delta: { stop_reason: calls.length > 0 ? 'tool_use' : 'end_turn' },
      usage: { output_tokens: 5 },
    },
    { type: 'message_stop' },
  ];
}
