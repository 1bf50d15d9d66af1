import { chunksOf } from './chunks.ts';
import type { Dialect } from './dialect.ts';
import { noImages, rolesTakeTurns } from './rules.ts';
import { body, picture, said, user } from './wire.ts';

/**
 * vLLM with a text model and Mistral's template. Its ids:
 * https://github.com/vllm-project/vllm/issues/22966
 */
export const vllm: Dialect = {
  id: 'vllm',
  title: 'vLLM',
  protocol: 'openai',
  local: true,
  reasoning: '`reasoning`',
  ids: '`chatcmpl-tool-` and 32 hex digits',
  rules: [
    rolesTakeTurns('https://github.com/vllm-project/vllm/issues/6862'),
    {
      refused: 'an empty reply in the conversation',
      coffer: 'omits blank messages',
      source: 'https://github.com/vllm-project/vllm/issues/21089',
      breaks: ({ messages }) =>
        messages.some(({ role, content, tool_calls }) => role === 'assistant' && !tool_calls && content === ''),
      example: body(user(), said(''), user()),
    },
    noImages('https://github.com/vllm-project/vllm/issues/23402', 'm is not a multimodal model', body(picture)),
  ],
  write: (reply) =>
    chunksOf(reply, {
      id: (number) => `chatcmpl-tool-${number.toString(16).padStart(32, '0')}`,
      reasoning: (reasoning) => ({ reasoning }),
    }),
};
