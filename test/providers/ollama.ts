import { chunksOf, halves } from './chunks.ts';
import { type Dialect, nextCall, type Reply } from './dialect.ts';
import { type Body, body, call, calling, partsOf, picture, result, user } from './wire.ts';

const plainPicture = { ...user('look'), images: ['iVBORw0KGgo='] };

/** Returns a request that calls with `input`, which {@link Body} has no type for. */
function callingWith(input: unknown): Body {
  const { function: called, ...rest } = call('a');
  const wrong = { ...rest, function: { ...called, arguments: input as string } };
  return body(user(), calling(wrong), result('a'));
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Ollama's own API. */
export const ollama: Dialect = {
  id: 'ollama',
  title: 'Ollama',
  protocol: 'ollama',
  local: true,
  reasoning: '`thinking`',
  ids: '`call_` and eight letters or digits',
  rules: [
    {
      refused: 'content that is not a single text',
      coffer: 'joins the texts of a message and sends images in their own field',
      source: 'https://github.com/ollama/ollama/issues/10255',
      breaks: ({ messages }) => messages.some(({ content }) => typeof content !== 'string'),
      example: body(picture),
    },
    {
      refused: 'call arguments that are not an object',
      coffer: 'sends them as an object, empty if they are not one',
      source: 'https://github.com/ollama/ollama/issues/12794',
      breaks: ({ messages }) =>
        messages.some(({ tool_calls = [] }) => tool_calls.some((called) => !isObject(called.function.arguments))),
      example: callingWith('{}'),
    },
    {
      refused: 'an image as a data URL',
      coffer: 'sends images as bare base64 and fetches none',
      source: 'https://github.com/ollama/ollama-js/issues/68',
      breaks: ({ messages }) => messages.some(({ images = [] }) => images.some((data) => /[^A-Za-z0-9+/=]/.test(data))),
      example: body({ ...plainPicture, images: ['data:image/png;base64,iVBORw0KGgo='] }),
    },
  ],
  write: linesOf,
};

/** Returns a reply as lines of `/api/chat`; a call arrives whole. */
function linesOf({ reasoning, text, calls }: Reply): object[] {
  const line = (message: object): object => ({ model: 'm', message: { role: 'assistant', content: '', ...message } });
  const tool_calls = calls.map(({ name, input }, index) => ({
    id: `call_${String(nextCall()).padStart(8, 'o')}`,
    function: { index, name, arguments: input },
  }));
  return [
    ...halves(reasoning).map((thinking) => line({ thinking })),
    ...halves(text).map((content) => line({ content })),
    ...tool_calls.map((called) => line({ tool_calls: [called] })),
    { ...line({}), done: true, done_reason: 'stop', prompt_eval_count: 20, eval_count: 5 },
  ];
}

/** Ollama's OpenAI-compatible address. */
export const ollamaCompatible: Dialect = {
  id: 'ollama-compatible',
  title: 'Ollama, OpenAI-compatible',
  protocol: 'openai',
  local: true,
  reasoning: '`reasoning`',
  ids: '`call_` and eight letters or digits',
  rules: [
    {
      refused: '`content: null`, which OpenAI allows in a message with calls',
      coffer: 'sends an empty text instead to servers on this machine',
      source: 'https://github.com/pydantic/pydantic-ai/issues/5206',
      breaks: ({ messages }) => messages.some(({ content }) => content === null),
      example: body(user(), { ...calling(call('a')), content: null }, result('a')),
    },
    {
      refused: 'an image that is not a data URL',
      coffer: 'sends images as data URLs and fetches none',
      source: 'https://github.com/ollama/ollama/issues/7247',
      breaks: ({ messages }) =>
        messages.flatMap(partsOf).some(({ image_url }) => image_url && !image_url.url.startsWith('data:image/')),
      example: body(user([{ type: 'image_url', image_url: { url: 'iVBORw0KGgo=' } }])),
    },
  ],
  write: (reply) =>
    chunksOf(reply, {
      id: (number) => `call_${String(number).padStart(8, 'o')}`,
      reasoning: (reasoning) => ({ content: '', reasoning }),
    }),
};
