import { chunksOf } from './chunks.ts';
import type { Dialect } from './dialect.ts';
import { noImages, openaiFields, unknownFields } from './rules.ts';
import { body, picture, user } from './wire.ts';

/** Groq, and other servers that check every field. */
export const groq: Dialect = {
  id: 'groq',
  title: 'Groq',
  protocol: 'openai',
  local: false,
  reasoning: '`reasoning`',
  ids: '`fc_` and a number',
  rules: [
    unknownFields('https://github.com/janhq/jan/issues/8136', 400, [...openaiFields, 'reasoning']),
    {
      refused: '`reasoning` as a parameter, for models without reasoning',
      coffer: 'sends no reasoning parameter',
      source: 'https://github.com/musistudio/llms/pull/64',
      breaks: (request) => 'reasoning' in request,
      example: { ...body(user()), reasoning: {} },
    },
    noImages('https://github.com/vercel/ai/issues/2837', 'messages[0].content must be a string', body(picture)),
  ],
  write: (reply) => chunksOf(reply, { id: (number) => `fc_${number}`, reasoning: (reasoning) => ({ reasoning }) }),
};
