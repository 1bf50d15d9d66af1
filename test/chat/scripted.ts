import type { ChatModel, ReplyPart } from '../../src/chat/models/models.ts';
import type { Message } from '../../src/session/event/event.ts';

/**
 * Returns a model whose reply to each request, counted from 0, is `replyTo`'s; it keeps the
 * requests.
 */
export function scriptedModel(
  replyTo: (request: number) => readonly ReplyPart[],
): ChatModel & { asked: (readonly Message[])[] } {
  const asked: (readonly Message[])[] = [];
  return {
    name: 'mock/scripted',
    isLocal: true,
    contextWindow: 128_000,
    refuses: new Set(),
    asked,
    async *reply(messages) {
      asked.push(messages);
      yield* replyTo(asked.length - 1);
    },
  };
}
