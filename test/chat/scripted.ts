import type { ChatModel, ReplyPart } from '../../src/chat/models/models.ts';
import type { Message } from '../../src/session/event/event.ts';

/** A model that says what `replyTo` gives for each request, counted from 0, at once, and keeps what it was asked. */
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
