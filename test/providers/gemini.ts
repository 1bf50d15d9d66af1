import { chunksOf } from './chunks.ts';
import { type Dialect, sign } from './dialect.ts';
import { callIsAnswered, hasOther, openaiFields, resultFollowsCall } from './rules.ts';
import { type Body, body, call, calling, presentTurn, result, said, user, type WireCall } from './wire.ts';

const id = 'gemini';
const signatureOf = ({ name, arguments: input }: WireCall['function']): string => sign(id, `${name} ${input}`);

function isSigned({ function: called, extra_content }: WireCall): boolean {
  return extra_content?.google?.thought_signature === signatureOf(called);
}

/**
 * Tells whether a call lacks its signature. Only the first call of a reply is signed; finished
 * turns are not checked.
 */
function isUnsigned(request: Body): boolean {
  return presentTurn(request).some(({ tool_calls: [first] = [] }) => first !== undefined && !isSigned(first));
}

/** Gemini 3 through its OpenAI-compatible address. */
export const gemini: Dialect = {
  id,
  title: 'Gemini (OpenAI protocol)',
  protocol: 'openai',
  local: false,
  reasoning: 'a signature on the first call of a reply',
  ids: '`function-call-` and 19 digits',
  rules: [
    {
      refused: 'a call in the current turn with a missing or wrong `thought_signature`',
      coffer: 'stores it with the call and sends it back in `extra_content`',
      source: 'https://ai.google.dev/gemini-api/docs/thought-signatures',
      breaks: isUnsigned,
      example: body(user(), calling(call('a')), result('a')),
    },
    {
      refused: 'unknown fields',
      coffer: 'sends reasoning only to the model that wrote it, in its original field',
      source: 'https://github.com/SuzumiyaAkizuki/ComfyUI-NewBie-LLM-Formatter/issues/3',
      breaks: (request) => 'reasoning' in request || hasOther(request, openaiFields),
      example: { ...body(user()), reasoning: {} },
    },
    {
      refused: 'a conversation that does not end with the user or a result',
      coffer: 'sends a request only after a prompt or a result',
      source: 'https://github.com/crewAIInc/crewAI/pull/6973',
      breaks: ({ messages }) => messages.at(-1)?.role === 'assistant' && messages.at(-1)?.tool_calls === undefined,
      example: body(user(), said()),
    },
    {
      refused: 'a call that follows neither the user nor a result',
      coffer: 'joins text and calls of the assistant into one message',
      source: 'https://github.com/google-gemini/gemini-cli/issues/26486',
      breaks: ({ messages }) =>
        messages.some(({ tool_calls }, at) => tool_calls && messages[at - 1]?.role === 'assistant'),
      example: body(user(), said(), calling(call('a')), result('a'), said(), user()),
    },
    resultFollowsCall('https://github.com/langchain-ai/langchain/issues/27799'),
    callIsAnswered('https://github.com/BerriAI/litellm/issues/26755'),
  ],
  write: (reply) =>
    chunksOf(reply, {
      id: (number) => `function-call-${String(number).padStart(19, '1')}`,
      extra: (called, at) =>
        at === 0 ? { extra_content: { google: { thought_signature: signatureOf(called) } } } : {},
    }),
};
