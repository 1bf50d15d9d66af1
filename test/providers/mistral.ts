import { chunksOf } from './chunks.ts';
import type { Dialect } from './dialect.ts';
import { nineLetters, replyAfterResults, unknownFields } from './rules.ts';
import { body, said, user } from './wire.ts';

/**
 * Mistral's own address. Models that reason send content in chunks:
 * https://github.com/prism-php/prism/pull/862
 */
export const mistral: Dialect = {
  id: 'mistral',
  title: 'Mistral',
  protocol: 'openai',
  local: false,
  reasoning: '`thinking` chunks in `content`',
  ids: 'nine letters or digits',
  rules: [
    nineLetters('https://github.com/langchain-ai/langchain/pull/24668'),
    replyAfterResults('https://github.com/BerriAI/litellm/issues/17761'),
    {
      refused: 'a conversation that does not end with the user or a result',
      coffer: 'sends a request only after a prompt or a result',
      source: 'https://github.com/crewAIInc/crewAI/issues/2194',
      breaks: ({ messages }) => messages.at(-1)?.role === 'assistant',
      example: body(user(), said()),
    },
    unknownFields('https://github.com/charmbracelet/crush/issues/1590', 422),
    {
      refused: 'unknown parameters, for example `max_completion_tokens`',
      coffer: 'sends a configured limit as `max_tokens`',
      source: 'https://github.com/editor-code-assistant/eca/issues/231',
      status: 422,
      breaks: ({ max_completion_tokens }) => max_completion_tokens !== undefined,
      example: { ...body(user()), max_completion_tokens: 100 },
    },
  ],
  write: (reply) =>
    chunksOf(reply, {
      id: (number) => String(number).padStart(9, 'M'),
      reasoning: (text) => ({ content: [{ type: 'thinking', thinking: [{ type: 'text', text }] }] }),
      text: (text) => ({ content: [{ type: 'text', text }] }),
    }),
};
