import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Conversation, contextOf, tokensOf } from '../../src/chat/context.ts';
import type { Message } from '../../src/session/event.ts';

const user = (content: string): Message => ({ role: 'user', content });
const said = (content: string): Message => ({ role: 'assistant', content });
const calling = (...ids: string[]): Message => ({
  role: 'assistant',
  content: ids.map((toolCallId) => ({
    type: 'tool-call',
    toolCallId,
    toolName: 'read_file',
    input: { path: toolCallId },
  })),
});
const result = (toolCallId: string, value: string = `result of ${toolCallId}`): Message => ({
  role: 'tool',
  content: [{ type: 'tool-result', toolCallId, toolName: 'read_file', output: { type: 'text', value } }],
});

describe('contextOf', () => {
  it('sends a conversation as it is, the results of one reply together', () => {
    const messages = [user('go'), calling('a', 'b'), result('a'), result('b'), said('done')];
    const sent = contextOf(of(messages));
    expect(shape(sent)).toEqual(['user', 'calls a,b', 'results a,b', 'assistant']);
    expect(JSON.stringify(sent[2])).toMatch(/result of a.*result of b/);
  });

  it('gives a call that a crash left without its result one that says so, and the record stays as it is', () => {
    const messages = [user('go'), calling('a', 'b'), result('a'), user('go on')];
    const before = structuredClone(messages);
    const sent = contextOf(of(messages));
    expect(shape(sent)).toEqual(['user', 'calls a,b', 'results a,b', 'user']);
    expect(JSON.stringify(sent[2])).toMatch(/result of a.*interrupted: how it ended is not known/);
    expect(messages).toEqual(before);
  });

  it('leaves out a result whose call is not there', () => {
    expect(shape(contextOf(of([user('go'), result('x'), said('done')])))).toEqual(['user', 'assistant']);
  });

  it('puts the summary in place of what a compaction replaced, behind the messages of the system', () => {
    const messages: Message[] = [{ role: 'system', content: 'be brief' }, user('old'), said('old too'), user('new')];
    const sent = contextOf({ ...of(messages), compaction: { summary: 'all of the old', through: 3 } });
    expect(shape(sent)).toEqual(['system', 'system', 'user']);
    expect(sent[0]?.content).toBe('be brief');
    expect(sent[1]?.content).toContain('all of the old');
    expect(sent[2]?.content).toBe('new');
  });

  it('keeps calls and results together under maxMessages, and begins with the words of the user', () => {
    const messages = [user('old'), said('x'), user('go'), calling('a'), result('a'), calling('b'), result('b')];
    expect(shape(contextOf(of(messages), { maxMessages: 5 }))).toEqual([
      'user',
      'calls a',
      'results a',
      'calls b',
      'results b',
    ]);
    for (const maxMessages of [4, 3, 2, 1]) {
      expect(shape(contextOf(of(messages), { maxMessages }))).toEqual(['user', 'calls b', 'results b']);
    }
  });

  it('makes of any record what every server takes', async () => {
    const id = fc.constantFrom('a', 'b', 'weird id:0', '', 'x'.repeat(64));
    const message = fc.oneof(
      fc.constant(user('u')),
      fc.constant(said('s')),
      fc.array(id, { minLength: 1, maxLength: 3 }).map((ids) => calling(...ids)),
      id.map((one) => result(one)),
    );
    await fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), (messages, maxMessages) => {
        const sent = contextOf(of([user('first'), ...messages]), { maxMessages });
        expect(sent[0]?.role).toBe('user');
        const seen = new Set<string>();
        for (const [at, one] of sent.entries()) {
          const ids = idsIn(one);
          if (one.role === 'tool') expect(ids).toEqual(idsIn(sent[at - 1]));
          else if (ids.length > 0) {
            expect(sent[at + 1]?.role).toBe('tool');
            for (const each of ids) {
              expect(each).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
              expect(seen.has(each)).toBe(false);
              seen.add(each);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives names that every server takes to tools of a broken call, and an object to its input', () => {
    const part = {
      type: 'tool-call' as const,
      toolCallId: 'a',
      toolName: 'rm -rf\u0000é'.repeat(20),
      input: '{"path": "no',
    };
    const [, sent] = contextOf(of([user('go'), { role: 'assistant', content: [part] }]));
    expect(sent?.content).toEqual([{ ...part, toolName: expect.stringMatching(/^[A-Za-z0-9_-]{64}$/), input: {} }]);
  });

  it('shortens what a tool gave, for the model alone', () => {
    const whole = `first ${'x'.repeat(300_000)} last`;
    const messages = [user('go'), calling('a'), result('a', whole)];
    const sent = JSON.stringify(contextOf(of(messages)));
    expect(Buffer.byteLength(sent)).toBeLessThan(263_000);
    expect(sent).toMatch(/first x+.*left out.*x+ last/);
    expect(JSON.stringify(messages)).toContain(whole);
  });

  it('tells calls and results as text where no tools are offered', () => {
    const messages = [user('go'), calling('a'), result('a'), said('done')];
    expect(contextOf(of(messages), { tools: false })).toEqual([
      user('go'),
      { role: 'assistant', content: [{ type: 'text', text: '[call of read_file: {"path":"a"}]' }] },
      user('[result of read_file]\nresult of a'),
      said('done'),
    ]);
  });
});

describe('tokensOf', () => {
  it('counts what came after the last reply on top of what the model counted', () => {
    const messages = [user('go'), said('done')];
    expect(tokensOf({ ...of(messages), contextTokens: 1000 })).toBe(1000);
    const more = tokensOf({ ...of([...messages, user('x'.repeat(4000))]), contextTokens: 1000 });
    expect(more).toBeGreaterThan(1990);
    expect(more).toBeLessThan(2100);
  });

  it('is an estimate where the model counted what no request can have', () => {
    for (const contextTokens of [2 ** 41, Number.MAX_SAFE_INTEGER, 2 * Number.MAX_SAFE_INTEGER]) {
      expect(tokensOf({ ...of([user('hello')]), contextTokens })).toBe(tokensOf(of([user('hello')])));
    }
  });

  it('is an estimate of what would be sent where nothing was counted', () => {
    const messages = [user('x'.repeat(40_000)), said('y'), user('go')];
    expect(tokensOf(of(messages))).toBeGreaterThan(10_000);
    expect(tokensOf({ ...of(messages), compaction: { summary: 's', through: 2 } })).toBeLessThan(100);
  });
});

function of(messages: readonly Message[]): Conversation {
  return { messages, messageEvents: messages.map((_, at) => at + 1), compaction: undefined, contextTokens: null };
}

function shape(messages: readonly Message[]): string[] {
  return messages.map((message) => {
    const ids = idsIn(message);
    if (ids.length === 0) return message.role;
    return `${message.role === 'tool' ? 'results' : 'calls'} ${ids.join(',')}`;
  });
}

function idsIn(message: Message | undefined): string[] {
  const content = message?.content ?? '';
  if (typeof content === 'string') return [];
  return (content as { toolCallId?: string }[]).flatMap(({ toolCallId }) => toolCallId ?? []);
}
