import { chunksOf } from './chunks.ts';
import type { Dialect } from './dialect.ts';
import { noMaxTokens } from './openai.ts';
import { resultFollowsCall } from './rules.ts';
import { body, user } from './wire.ts';

/**
 * The filter's verdict on the prompt comes first, in a chunk without a choice:
 * https://github.com/AbanteAI/archive-old-cli-mentat/issues/429
 */
const filterResults = {
  id: '',
  object: '',
  created: 0,
  model: '',
  choices: [],
  prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: { filtered: false } } }],
};

/** OpenAI's models on Azure, and similar servers. */
export const azure: Dialect = {
  id: 'azure',
  title: 'Azure OpenAI',
  protocol: 'openai',
  local: false,
  reasoning: 'none is shown',
  ids: '`call_` and 24 letters or digits',
  rules: [
    {
      refused: 'an empty list of tools',
      coffer: 'omits the list if there are none',
      source: 'https://github.com/pydantic/pydantic-ai/issues/155',
      breaks: ({ tools }) => tools?.length === 0,
      example: { ...body(user()), tools: [] },
    },
    {
      refused: 'a message without `content`',
      coffer: 'sends `content` with every message',
      source: 'https://github.com/Azure/azure-sdk-for-net/pull/40078',
      breaks: ({ messages }) => messages.some((message) => !('content' in message)),
      example: body({ role: 'user' }),
    },
    resultFollowsCall('https://github.com/Hk-Gosuto/ChatGPT-Next-Web-LangChain/issues/193'),
    noMaxTokens('https://github.com/langgenius/dify/issues/9746'),
  ],
  write: (reply) =>
    chunksOf(reply, { id: (number) => `call_${String(number).padStart(24, 'z')}`, first: [filterResults] }),
};
