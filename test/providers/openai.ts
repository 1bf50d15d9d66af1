import { chunksOf } from './chunks.ts';
import type { Dialect, Rule } from './dialect.ts';
import { callIsAnswered, callsOf, resultFollowsCall, unknownFields } from './rules.ts';
import { body, call, calling, result, user } from './wire.ts';

const long = 'c'.repeat(41);

/** Refuses the old name of the length limit, like models that reason. */
export const noMaxTokens = (source: string): Rule => ({
  refused: '`max_tokens`, for reasoning models',
  coffer: 'sends a configured limit as `max_completion_tokens`',
  source,
  breaks: ({ max_tokens }) => max_tokens !== undefined,
  example: { ...body(user()), max_tokens: 100 },
});

/** OpenAI's Chat Completions. */
export const openai: Dialect = {
  id: 'openai',
  title: 'OpenAI',
  protocol: 'openai',
  local: false,
  reasoning: 'none is shown',
  ids: '`call_` and 24 letters or digits',
  rules: [
    {
      refused: 'call ids longer than 40 characters',
      coffer: 'replaces every call id with one of nine letters or digits; the record keeps the original',
      source: 'https://github.com/vercel/ai/issues/5171',
      breaks: (request) => callsOf(request).some(({ id }) => id.length > 40),
      example: body(user(), calling(call(long)), result(long)),
    },
    {
      refused: 'function names with characters other than letters, digits, `_` and `-`',
      coffer: 'replaces other characters in the names',
      source: 'https://github.com/mcp-use/mcp-use/issues/90',
      breaks: (request) => callsOf(request).some(({ function: { name } }) => !/^[A-Za-z0-9_-]+$/.test(name)),
      example: body(
        user(),
        calling({ ...call('callcall1'), function: { name: 'read file', arguments: '{}' } }),
        result('callcall1'),
      ),
    },
    resultFollowsCall('https://github.com/prism-php/prism/issues/175'),
    callIsAnswered('https://github.com/RamiAwar/dataline/issues/172'),
    unknownFields('https://github.com/transitive-bullshit/agentic/issues/531'),
    noMaxTokens('https://github.com/koosoli/ESPHomeDesigner/issues/379'),
  ],
  write: (reply) => chunksOf(reply, { id: (number) => `call_${String(number).padStart(24, 'A')}` }),
};
