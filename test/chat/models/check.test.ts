import { describe, expect, it } from 'vitest';
import { checkModel } from '../../../src/chat/models/check.ts';
import type { ChatModel, ReplyPart } from '../../../src/chat/reply.ts';
import { CofferError } from '../../../src/errors.ts';
import { readAttachment } from '../../../src/session/event/attachment.ts';
import type { Message } from '../../../src/session/event/event.ts';

const FINISH: ReplyPart = { type: 'finish', usage: { inputTokens: 1, outputTokens: 1, cost: null }, reason: 'stop' };

/** Returns a model that sends one answer after another; an error is a refusal. */
function model(...answers: readonly (readonly ReplyPart[] | CofferError)[]): ChatModel & { asked: Message[] } {
  const asked: Message[] = [];
  return {
    name: 'mock/m',
    isLocal: true,
    contextWindow: 4096,
    refuses: new Set(),
    asked,
    async *reply(messages, _signal, tools) {
      const answer = answers[asked.length] ?? [];
      asked.push(...messages);
      expect(tools !== undefined).toBe(asked.length === 2);
      if (answer instanceof CofferError) throw answer;
      yield* answer;
      yield FINISH;
    },
  };
}

const text = (said: string): ReplyPart => ({ type: 'text', text: said });
const call: ReplyPart = { type: 'tool-call', toolCallId: 'a', toolName: 'report', input: { colour: 'red' } };
const { signal } = new AbortController();

describe('checkModel', () => {
  it('reports what works', async () => {
    const all = model([text('1 '), text('2')], [{ type: 'reasoning', text: 'hm' }, call], [text('It is Red.')]);
    expect(await checkModel(all, signal)).toEqual({
      ...{ streaming: true, reasoning: true, tools: 'called', images: 'seen', contextWindow: 4096 },
    });
    const parts = all.asked[2]?.content as { type: string; mediaType: string; data: string }[];
    const image = parts.find(({ type }) => type === 'file');
    expect(image && readAttachment({ ...image, type: 'file' })).toMatchObject({ kind: 'file', mediaType: 'image/png' });
  });

  it('reports what does not work, and why', async () => {
    const [tools, images] = [new CofferError('TOOLS_UNSUPPORTED', 'no'), new CofferError('FILES_UNSUPPORTED', 'no')];
    expect(await checkModel(model([text('1 2')], tools, images), signal)).toEqual({
      ...{ streaming: false, reasoning: false, tools, images, contextWindow: 4096 },
    });
    const silent = await checkModel(model([text('1')], [text('red')], [text('blue')]), signal);
    expect(silent).toMatchObject({ tools: 'unused', images: 'accepted' });
  });

  it('throws the error of the first question, and if it is cancelled', async () => {
    const error = new CofferError('MODEL_UNREACHABLE', 'nobody is there');
    await expect(checkModel(model(error), signal)).rejects.toBe(error);
    const silent = model([text(' ')], [call], [text('red')]);
    await expect(checkModel(silent, signal)).rejects.toMatchObject({ code: 'MODEL_FAILED' });
    const running = new AbortController();
    const cancelling = model([text('1')], new CofferError('CANCELLED', 'cancelled'));
    const { reply } = cancelling;
    cancelling.reply = (...given) => {
      if (cancelling.asked.length === 1) running.abort();
      return reply.apply(cancelling, given);
    };
    await expect(checkModel(cancelling, running.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});
