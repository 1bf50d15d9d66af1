import { describe, expect, it } from 'vitest';
import { type ChatModel, openModel } from '../../src/chat/models/models.ts';
import type { Message, Part } from '../../src/session/event/event.ts';
import { Conversation, openDialect } from './conversation.ts';
import { dialectOf } from './dialects.ts';
import { startProvider } from './server.ts';

/*
 * Removes one of coffer's adaptations at a time: the server must then refuse the conversation.
 * Otherwise the suite would not notice a missing adaptation.
 */

type Spoil = (messages: readonly Message[]) => Message[];

/** Changes each part of each message; a part is removed if `change` returns nothing. */
const parts =
  (change: (part: Part) => Part | undefined): Spoil =>
  (messages) =>
    messages.map((message) => {
      if (typeof message.content === 'string') return message;
      return { ...message, content: message.content.flatMap((part: Part) => change(part) ?? []) } as Message;
    });

const withoutOptions = parts(({ providerOptions: _, ...part }) => part);
const withoutReasoning = parts((part) => (part.type === 'reasoning' ? undefined : part));
const changedReasoning = parts((part) => (part.type === 'reasoning' ? { ...part, text: `${part.text}!` } : part));
const longIds = parts((part) =>
  'toolCallId' in part ? { ...part, toolCallId: `${part.toolCallId}${'x'.repeat(40)}` } : part,
);
const foreignReasoning: Spoil = (messages) => {
  const part = { type: 'reasoning', text: 'hm', providerOptions: { coffer: { field: 'reasoning_content' } } } as const;
  return messages.map((message) => {
    if (message.role !== 'assistant' || typeof message.content === 'string') return message;
    return { ...message, content: [part, ...message.content] };
  });
};
const inserted =
  (...more: Message[]): Spoil =>
  (messages) => [...messages.slice(0, 1), ...more, ...messages.slice(1)];

describe('a conversation without one of the adaptations', () => {
  it.each([
    ['anthropic', 'signatures', withoutOptions],
    ['anthropic', 'reasoning', withoutReasoning],
    ['anthropic', 'unchanged reasoning', changedReasoning],
    ['anthropic', 'no blank text', inserted({ role: 'assistant', content: ' \n' }, { role: 'user', content: 'hello' })],
    ['gemini', 'signatures', withoutOptions],
    ['deepseek', 'reasoning', withoutReasoning],
    ['deepseek', 'unchanged reasoning', changedReasoning],
    ['openrouter', 'details', withoutReasoning],
    ['openrouter', 'short ids', longIds],
    ['openai', 'short ids', longIds],
    ['mistral', 'short ids', longIds],
    ['mistral', 'no reasoning of other models', foreignReasoning],
    ['groq', 'no reasoning of other models', foreignReasoning],
    ['llamacpp', 'alternating roles', inserted({ role: 'user', content: 'hello?' })],
    ['llamacpp', 'one system message', inserted({ role: 'system', content: 'be brief' })],
    ['vllm', 'alternating roles', inserted({ role: 'user', content: 'hello?' })],
    ['vllm', 'no blank text', inserted({ role: 'assistant', content: '' }, { role: 'user', content: 'hello' })],
  ])('is refused by %s: %s', async (id, _, spoil) => {
    await using server = await startProvider(dialectOf(id));
    const model = await openDialect(server);
    const spoiled: ChatModel = { ...model, reply: (messages, ...rest) => model.reply(spoil(messages), ...rest) };
    await expect(new Conversation().useTools(spoiled)).rejects.toThrow();
    expect(server.faults.length).toBeGreaterThan(0);
  });

  it('is refused by Ollama: an empty text in messages with calls', async () => {
    await using server = await startProvider(dialectOf('ollama-compatible'));
    const baseURL = server.baseURL.replace('127.0.0.1', '0.0.0.0');
    const model = await openModel('mine/m', { providers: { mine: { baseURL } }, env: {} });
    await expect(new Conversation().useTools(model)).rejects.toThrow();
    expect(server.faults.length).toBeGreaterThan(0);
  });
});
