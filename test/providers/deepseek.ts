import { chunksOf } from './chunks.ts';
import { type Dialect, isOwn, pathOf } from './dialect.ts';
import { noImages, resultFollowsCall } from './rules.ts';
import { type Body, body, call, calling, picture, result, said, user } from './wire.ts';

const id = 'deepseek';

/** The reasoning it has written, which must come back unchanged. */
const reasoned = new Set<string>();

/** Tells whether calls of its own lack the reasoning they came with. All later requests need it. */
function hasChangedReasoning({ messages }: Body): boolean {
  return messages.some((message) => isOwn(id, message) && !reasoned.has(message.reasoning_content ?? ''));
}

/** Tells whether a message of another model lacks the field. Its reasoning may be empty. */
function lacksReasoning({ messages, tools }: Body): boolean {
  if (tools === undefined) return false;
  return messages.some(({ role, reasoning_content }) => role === 'assistant' && reasoning_content === undefined);
}

/** DeepSeek V4 in its thinking mode, the default. */
export const deepseek: Dialect = {
  id,
  title: 'DeepSeek',
  protocol: 'openai',
  local: false,
  reasoning: '`reasoning_content`',
  ids: '`call_`, a number and 24 letters or digits',
  rules: [
    {
      refused: 'its own calls without their original `reasoning_content`, even in earlier turns',
      coffer: 'sends it back unchanged in every turn with calls',
      source: 'https://api-docs.deepseek.com/guides/thinking_mode.md',
      breaks: hasChangedReasoning,
      example: body(
        user(),
        { ...calling(call('a', pathOf(id, 1))), reasoning_content: 'something else' },
        result('a'),
        user(),
      ),
    },
    {
      refused: 'an assistant message of another model without `reasoning_content`, if tools are offered',
      coffer:
        'sends an empty one to a provider named deepseek, to deepseek.com, and to servers that have sent the field',
      source: 'https://github.com/Astro-Han/pawwork/issues/250',
      breaks: lacksReasoning,
      example: body(user(), said(), user()),
    },
    noImages(
      'https://github.com/rikkahub/rikkahub/issues/1433',
      'unknown variant `image_url`, expected `text`',
      body(picture),
    ),
    resultFollowsCall('https://github.com/FoundationAgents/OpenManus/issues/23'),
  ],
  write: (reply) => {
    reasoned.add(reply.reasoning);
    return chunksOf(reply, {
      id: (number) => `call_00_${String(number).padStart(24, 'd')}`,
      reasoning: (reasoning_content) => ({ reasoning_content }),
    });
  },
};
