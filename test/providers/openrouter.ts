import { isDeepStrictEqual } from 'node:util';
import { chunksOf } from './chunks.ts';
import { type Dialect, isOwn, pathOf, sign } from './dialect.ts';
import { nineLetters, noImages, replyAfterResults } from './rules.ts';
import { type Body, body, call, calling, picture, presentTurn, result, user } from './wire.ts';

const id = 'openrouter';
const format = 'google-gemini-v1';

/** Tells whether a reply of its own lacks its original details. */
function lacksDetails(request: Body): boolean {
  return presentTurn(request).some((message) => isOwn(id, message) && !areWhole(message.reasoning_details ?? []));
}

function areWhole(details: unknown[]): boolean {
  const [told, sealed] = details as { type?: string; text?: string }[];
  if (told?.type !== 'reasoning.text' || told.text === undefined || details.length !== 2) return false;
  return isDeepStrictEqual(sealed, sealedOf(told.text));
}

function sealedOf(reasoning: string): object {
  return { type: 'reasoning.encrypted', data: sign(id, reasoning), format, index: 1 };
}

/** OpenRouter with models of several makers behind it. */
export const openrouter: Dialect = {
  id,
  title: 'OpenRouter',
  protocol: 'openai',
  local: false,
  reasoning: '`reasoning`, and `reasoning_details` with signatures',
  ids: 'those of the provider behind it',
  rules: [
    {
      refused: 'calls in the current turn without their original `reasoning_details` (with Gemini)',
      coffer: 'stores them with the reply and sends them back unchanged',
      source: 'https://github.com/microsoft/agent-framework/issues/2947',
      breaks: lacksDetails,
      example: body(user(), calling(call('callcall1', pathOf(id, 1))), result('callcall1')),
    },
    nineLetters('https://github.com/openclaw/openclaw/issues/57672'),
    replyAfterResults('https://github.com/charmbracelet/crush/issues/279'),
    noImages(
      'https://github.com/HartsyAI/SwarmUI-MagicPromptExtension/issues/50',
      'No endpoints found that support image input',
      body(picture),
      404,
    ),
  ],
  write: (reply) => {
    const chunks = chunksOf(reply, {
      id: (number) => `tool_0_read_file_${number}`,
      reasoning: (text) => ({
        content: '',
        reasoning: text,
        reasoning_details: [{ type: 'reasoning.text', text, format, index: 0 }],
      }),
    });
    const delta = { content: '', reasoning_details: [sealedOf(reply.reasoning)] };
    const sealed = { id: 'gen-1', choices: [{ index: 0, delta, finish_reason: null }] };
    return [...chunks.slice(0, -2), sealed, ...chunks.slice(-2)];
  },
};
