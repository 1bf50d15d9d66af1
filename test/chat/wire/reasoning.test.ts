import { describe, expect, it } from 'vitest';
import { findEndpoint } from '../../../src/chat/models/providers.ts';
import { forProtocol, ReasoningFields } from '../../../src/chat/wire/reasoning.ts';
import type { Message } from '../../../src/session/event/event.ts';

const user: Message = { role: 'user', content: 'go' };
const call = { type: 'tool-call', toolCallId: 'call00001', toolName: 'read_file', input: {} } as const;
const output = { type: 'text', value: 'text' };
const result: Message = {
  role: 'tool',
  content: [{ type: 'tool-result', toolCallId: 'call00001', toolName: 'read_file', output }],
};
const reasoned = (field: string, text = 'hm') =>
  ({ type: 'reasoning', text, providerOptions: { coffer: { field } } }) as const;

describe('the reasoning that is sent back', () => {
  it('is `reasoning_content` in all turns with calls, and empty in other messages', () => {
    const messages: Message[] = [
      user,
      { role: 'assistant', content: [reasoned('reasoning_content'), call] },
      result,
      { role: 'assistant', content: [reasoned('reasoning_content', 'aha'), { type: 'text', text: 'done' }] },
      user,
      { role: 'assistant', content: [reasoned('reasoning_content'), { type: 'text', text: 'hi' }] },
      user,
    ];
    const sent = forProtocol(messages, at('http://192.0.2.1/v1'));
    expect(sent.map((message) => types(message))).toEqual([
      '',
      'reasoning tool-call',
      'tool-result',
      'reasoning text',
      '',
      'text',
      '',
    ]);
    expect(sent.map(fieldsOf)).toEqual([{}, {}, {}, {}, {}, { reasoning_content: '' }, {}]);
  });

  it('is nothing for a server that sent it in another field', () => {
    const sent = forProtocol(
      [user, { role: 'assistant', content: [reasoned('reasoning'), call] }, result],
      at('http://192.0.2.1/v1'),
    );
    expect(types(sent[1])).toBe('tool-call');
    expect(fieldsOf(sent[1])).toEqual({});
  });

  it('is an empty `reasoning_content` for DeepSeek even before it has sent any', () => {
    const sent = forProtocol([user, { role: 'assistant', content: 'hi' }, user], at('https://api.deepseek.com/v1'));
    expect(sent.map(fieldsOf)).toEqual([{}, { reasoning_content: '' }, {}]);
  });

  it('comes with an empty text in messages with calls for servers on this machine', () => {
    const messages: Message[] = [user, { role: 'assistant', content: [call] }, result];
    expect(fieldsOf(forProtocol(messages, at('http://127.0.0.1:11434/v1'))[1])).toEqual({ content: '' });
    expect(fieldsOf(forProtocol(messages, at('http://192.0.2.1/v1'))[1])).toEqual({});
  });

  it('is the details of the whole reply in turns with calls', () => {
    const fields = new ReasoningFields();
    const pieces: object[] = [
      { type: 'reasoning.text', text: 'let ', index: 0 },
      { type: 'reasoning.text', text: 'me see', index: 0, signature: 's' },
      { type: 'reasoning.encrypted', data: 'x', index: 1 },
      { type: 'reasoning.encrypted', data: 'y', index: 1 },
    ];
    for (const piece of pieces) fields.see({ choices: [{ delta: { reasoning_details: [piece] } }] });
    const details = [{ type: 'reasoning.text', text: 'let me see', index: 0, signature: 's' }, ...pieces.slice(2)];
    expect(fields.details).toEqual({ coffer: { details } });
    const kept = { type: 'reasoning', text: '', ...(fields.details && { providerOptions: fields.details }) } as const;
    const messages: Message[] = [
      user,
      { role: 'assistant', content: [{ type: 'text', text: 'hi' }, kept] },
      user,
      { role: 'assistant', content: [call, kept] },
      result,
    ];
    const sent = forProtocol(messages, at('http://192.0.2.1/v1'));
    expect(sent.map(fieldsOf)).toEqual([{}, {}, {}, { reasoning_details: details }, {}]);
  });

  it.each([
    null,
    'text',
    {},
    { choices: [] },
    { choices: [{ delta: null }] },
    { choices: [{ delta: { reasoning_details: [null, 1] } }] },
  ])('is nothing for a chunk without reasoning: %j', (chunk) => {
    const fields = new ReasoningFields();
    fields.see(chunk);
    expect([fields.options, fields.details]).toEqual([undefined, undefined]);
  });
});

function at(baseURL: string): ReturnType<typeof findEndpoint> {
  return findEndpoint('mock/m', { mock: { baseURL } }, {});
}

function types(message: Message | undefined): string {
  if (message === undefined || typeof message.content === 'string') return '';
  const parts: readonly { type: string }[] = message.content;
  return parts.map(({ type }) => type).join(' ');
}

function fieldsOf(message: Message | undefined): unknown {
  return Reflect.get(Object(Reflect.get(Object(message), 'providerOptions')), 'openaiCompatible') ?? {};
}
