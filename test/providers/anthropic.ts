import { halves } from './chunks.ts';
import { type Dialect, nextCall, type Reply, type Rule, sign } from './dialect.ts';
import { type Body, type Message, type Part, partsOf, user } from './wire.ts';

const id = 'anthropic';

const call: Part = { type: 'tool_use', id: 'toolu_1', name: 'read_file', input: {} };
const result: Part = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'a file' };
const thought: Part = { type: 'thinking', thinking: 'hm', signature: sign(id, 'hm') };
const assistant = (...content: Part[]): Message => ({ role: 'assistant', content });
const ask = (...messages: Message[]): Body => ({ model: 'm', max_tokens: 100, messages });

/** The fields of each block that a request may have. */
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

/** The last message with calls: the one that the thinking has to be kept of. */
function lastCalling({ messages }: Body): Message | undefined {
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  return ofType(messages[last], 'tool_use').length > 0 ? messages[last] : undefined;
}

/** What this server has called for itself began with both kinds of thinking. */
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
    refused: 'text blocks of nothing but white space',
    coffer: 'leaves out what is blank; the record keeps it',
    source: 'https://github.com/anthropics/claude-code/issues/23440',
    breaks: (request) => allParts(request).some(({ type, text }) => type === 'text' && text?.trim() === ''),
    example: ask(user(), assistant({ type: 'text', text: ' \n' }), user()),
  },
  {
    refused: 'a message with calls, in the present turn, that has lost its thinking',
    coffer: 'keeps thinking and redacted thinking with the reply and sends it back to that model',
    source: 'https://github.com/deepset-ai/haystack-core-integrations/issues/2146',
    breaks: hasLostThinking,
    example: ask(user(), assistant(call), user([result])),
  },
  {
    refused: 'thinking whose text or signature was changed, or that another model wrote',
    coffer: 'sends thinking as it was, and to the model it came from only',
    source: 'https://github.com/anthropics/claude-code/issues/63548',
    breaks: hasChangedThinking,
    example: ask(user(), assistant({ ...thought, thinking: 'ha' }, call), user([result])),
  },
  {
    refused: 'a call without its result in the next message',
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
    refused: 'a result without its call in the message before',
    coffer: 'leaves out results without a call',
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
    coffer: 'marks four at most',
    source: 'https://github.com/tghamm/Anthropic.SDK/issues/50',
    breaks: (request) => cacheMarks(request) > 4,
    example: ask(
      user(Array.from({ length: 5 }, () => ({ type: 'text', text: 'hello', cache_control: { type: 'ephemeral' } }))),
    ),
  },
  {
    refused: 'a field of a block that it does not know',
    coffer: 'sends what a part carries for a provider to that provider only',
    source: 'https://github.com/anthropics/claude-code/issues/4378',
    breaks: (request) =>
      allParts(request).some((part) =>
        Object.keys(part).some((name) => name !== 'type' && !fields[part.type]?.includes(name)),
      ),
    example: ask(user(), assistant(thought, { ...call, text: '' }), user([result])),
  },
  {
    refused: 'a conversation that ends with the assistant',
    coffer: 'asks only after a prompt or a result',
    source: 'https://github.com/HKUDS/nanobot/pull/3297',
    breaks: ({ messages }) => messages.at(-1)?.role === 'assistant',
    example: ask(user(), assistant({ type: 'text', text: 'hi' })),
  },
];

/** Anthropic's Messages, thinking. Events: https://platform.claude.com/docs/build-with-claude/streaming */
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
