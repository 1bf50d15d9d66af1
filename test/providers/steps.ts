import type { ChatModel } from '../../src/chat/models/models.ts';
import type { Message } from '../../src/session/event/event.ts';
import type { Conversation } from './conversation.ts';

/** A step of a conversation with a first and a second model, by name. */
export type Step = readonly [string, (talk: Conversation, a: ChatModel, b: ChatModel) => Promise<void>];

/** The steps that every conversation goes through. */
export const steps: readonly Step[] = [
  ['chat', (talk, a) => talk.say(a, 'hello')],
  ['tools and reasoning', (talk, a) => talk.useTools(a)],
  ['chat with the other model', (talk, _, b) => talk.say(b, 'hello')],
  ['tools of the other model', (talk, _, b) => talk.useTools(b)],
  ['chat with the first model again', (talk, a) => talk.say(a, 'hello again')],
  ['its tools again', (talk, a) => talk.useTools(a)],
  ['a prompt without a reply', afterwards({ role: 'user', content: 'is anybody there' })],
  ['a partial reply', afterwards({ role: 'user', content: 'go' }, { role: 'assistant', content: 'I am hal' })],
  ['calls without results', afterwards({ role: 'user', content: 'go' }, calls('x'.repeat(60), 'x'.repeat(64)))],
  ['results without a reply', afterwards({ role: 'user', content: 'go' }, calls('done'), resultOf('done'))],
  [
    'a blank reply',
    afterwards(
      { role: 'user', content: 'go' },
      { role: 'assistant', content: [{ type: 'text', text: ' \n' }] },
      { role: 'system', content: 'be brief' },
    ),
  ],
  [
    'a fork',
    async (talk, a) => {
      await talk.fork(1);
      await talk.useTools(a);
    },
  ],
  [
    'a rewind',
    async (talk, _, b) => {
      await talk.rewind();
      await talk.useTools(b);
    },
  ],
  [
    'a resumed session',
    async (talk, a) => {
      await talk.resume();
      await talk.useTools(a);
    },
  ],
  [
    'a summary',
    async (talk, _, b) => {
      await talk.compact(b);
      await talk.say(b, 'go on');
      await talk.useTools(b);
    },
  ],
];

/** The steps with an image, which not every model supports. */
export const pictures: readonly Step[] = [
  [
    'an image',
    async (talk, a, b) => {
      const file = { type: 'file' as const, mediaType: 'image/png', data: PIXEL, filename: 'dot.png' };
      await talk.leave({ role: 'user', content: [{ type: 'text', text: 'look' }, file] });
      await talk.say(a, 'what is it');
      await talk.useTools(b);
    },
  ],
];

/** An image of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** A turn of the second model after messages left by an import or a killed process. */
function afterwards(...left: Message[]): Step[1] {
  return async (talk, _, b) => {
    await talk.leave(...left);
    await talk.useTools(b);
  };
}

/** Calls with ids and a name that no provider accepts. */
function calls(...ids: string[]): Message {
  const toolName = 'read a file, please';
  return {
    role: 'assistant',
    content: ids.map((toolCallId) => ({ type: 'tool-call', toolCallId, toolName, input: 'all' })),
  };
}

function resultOf(toolCallId: string): Message {
  const output = { type: 'text', value: 'text' };
  return { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName: 'read_file', output }] };
}
