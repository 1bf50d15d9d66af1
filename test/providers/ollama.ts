import { chunksOf } from './chunks.ts';
import type { Dialect } from './dialect.ts';
import { body, call, calling, partsOf, result, user } from './wire.ts';

/** Ollama's OpenAI-compatible address. */
export const ollama: Dialect = {
  id: 'ollama',
  title: 'Ollama',
  protocol: 'openai',
  local: true,
  reasoning: '`reasoning`',
  ids: '`call_` and eight letters or digits',
  rules: [
    {
      refused: '`content: null`, which OpenAI has beside calls',
      coffer: 'sends an empty text to servers on this machine',
      source: 'https://github.com/pydantic/pydantic-ai/issues/5206',
      breaks: ({ messages }) => messages.some(({ content }) => content === null),
      example: body(user(), { ...calling(call('a')), content: null }, result('a')),
    },
    {
      refused: 'a picture that is not a data URL',
      coffer: 'sends pictures as data URLs, and fetches none',
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
