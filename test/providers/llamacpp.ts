import { chunksOf } from './chunks.ts';
import type { Dialect } from './dialect.ts';
import { noImages, rolesTakeTurns } from './rules.ts';
import { body, picture, said, user } from './wire.ts';

/** llama.cpp's server, with the templates of Mistral and Qwen. */
export const llamacpp: Dialect = {
  id: 'llamacpp',
  title: 'llama.cpp',
  protocol: 'openai',
  local: true,
  reasoning: '`reasoning_content`',
  ids: '32 letters or digits',
  rules: [
    {
      refused: 'a system message that is not the first',
      coffer: 'joins all system messages at the beginning',
      source: 'https://github.com/ggml-org/llama.cpp/issues/20733',
      breaks: ({ messages }) => messages.some(({ role }, at) => role === 'system' && at > 0),
      example: body(user(), { role: 'system', content: 'be brief' }, said(), user()),
    },
    rolesTakeTurns('https://github.com/ggml-org/llama.cpp/issues/19851', 500),
    noImages(
      'https://github.com/ggml-org/llama.cpp/issues/15377',
      'image input is not supported - hint: you may need to provide the mmproj',
      body(picture),
      500,
    ),
  ],
  write: (reply) =>
    chunksOf(reply, {
      id: (number) => String(number).padStart(32, 'L'),
      reasoning: (reasoning_content) => ({ reasoning_content }),
    }),
};
