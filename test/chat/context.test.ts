import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Conversation, contextOf, estimate, tokensOf } from '../../src/chat/context.ts';
import type { Message, Part } from '../../src/session/event/event.ts';
import { emptyState } from '../../src/session/state.ts';

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
  it('sends a conversation unchanged, with the results of one reply in one message', () => {
    const messages = [user('go'), calling('a', 'b'), result('a'), result('b'), said('done')];
    const sent = contextOf(of(messages));
    expect(shape(sent)).toEqual(['user', 'calls 1,2', 'results 1,2', 'assistant']);
    expect(JSON.stringify(sent[2])).toMatch(/result of a.*result of b/);
  });

  it('adds a result to a call that a crash left without one, and leaves the record unchanged', () => {
    const messages = [user('go'), calling('a', 'b'), result('a'), user('go on')];
    const before = structuredClone(messages);
    const sent = contextOf(of(messages));
    expect(shape(sent)).toEqual(['user', 'calls 1,2', 'results 1,2', 'assistant', 'user']);
    expect(JSON.stringify(sent[2])).toMatch(/result of a.*interrupted: its outcome is unknown/);
    expect(messages).toEqual(before);
  });

  it('omits a result without its call', () => {
    expect(shape(contextOf(of([user('go'), result('x'), said('done')])))).toEqual(['user', 'assistant']);
  });

  it('sends the summary in place of the messages it replaced, after the system messages', () => {
    const messages: Message[] = [{ role: 'system', content: 'be brief' }, user('old'), said('old too'), user('new')];
    const sent = contextOf({ ...of(messages), compaction: { summary: 'all of the old', through: 3 } });
    expect(shape(sent)).toEqual(['system', 'user']);
    expect(sent[0]?.content).toMatch(/^be brief\n\nSummary .*all of the old$/s);
    expect(sent[1]?.content).toBe('new');
  });

  it('keeps calls and results together under maxMessages, and begins with the prompt', () => {
    const messages = [user('old'), said('x'), user('go'), calling('a'), result('a'), calling('b'), result('b')];
    expect(shape(contextOf(of(messages), { maxMessages: 5 }))).toEqual([
      'user',
      'calls 1',
      'results 1',
      'calls 2',
      'results 2',
    ]);
    for (const maxMessages of [4, 3, 2, 1]) {
      expect(shape(contextOf(of(messages), { maxMessages }))).toEqual(['user', 'calls 1', 'results 1']);
    }
  });

  it('omits a message that contains only reasoning', () => {
    expect(contextOf(of([user('go'), thinking('hm'), user('again')]))).toEqual([user('go\n\nagain')]);
  });

  it('begins with the user and joins two user messages in a row, with or without tools', () => {
    for (const tools of [true, false]) {
      const sent = contextOf(of([said('before'), user('one'), user('two')]), { tools });
      expect(sent).toEqual([user('one\n\ntwo')]);
    }
  });

  it('builds a context that every server accepts from any record', async () => {
    const id = fc.constantFrom('a', 'b', 'weird id:0', '', 'x'.repeat(64));
    const message = fc.oneof(
      fc.constant(user('u')),
      fc.constant(said('s')),
      fc.constantFrom(user(' \n'), said(''), said('\t'), thinking('t'), { role: 'system', content: 'x' } as Message),
      fc.array(id, { minLength: 1, maxLength: 3 }).map((ids) => calling(...ids)),
      id.map((one) => result(one)),
    );
    await fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), (messages, maxMessages) => {
        const sent = contextOf(of([user('first'), ...messages]), { maxMessages });
        const roles = sent.map(({ role }) => role);
        const told = roles.filter((role) => role !== 'system');
        expect(told[0]).toBe('user');
        expect(roles.slice(1)).not.toContain('system');
        expect(told.filter((role, at) => role === told[at - 1])).toEqual([]);
        expect(told.filter((role, at) => role === 'user' && told[at - 1] === 'tool')).toEqual([]);
        for (const { content } of sent) for (const text of textsIn(content)) expect(text.trim()).not.toBe('');
        const seen = new Set<string>();
        for (const [at, one] of sent.entries()) {
          const ids = idsIn(one);
          if (one.role === 'tool') expect(ids).toEqual(idsIn(sent[at - 1]));
          else if (ids.length > 0) {
            expect(sent[at + 1]?.role).toBe('tool');
            for (const each of ids) {
              expect(each).toMatch(/^[A-Za-z0-9]{9}$/);
              expect(seen.has(each)).toBe(false);
              seen.add(each);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('replaces the tool name and input of a broken call with ones that every server accepts', () => {
    const part = {
      type: 'tool-call' as const,
      toolCallId: 'a',
      toolName: 'rm -rf\u0000é'.repeat(20),
      input: '{"path": "no',
    };
    const [, sent] = contextOf(of([user('go'), { role: 'assistant', content: [part] }]));
    const named = { toolCallId: 'call00001', toolName: expect.stringMatching(/^[A-Za-z0-9_-]{64}$/) };
    expect(sent?.content).toEqual([{ ...part, ...named, input: {} }]);
  });

  it('joins unanswered prompts, including files, and adjacent replies', () => {
    const file = { type: 'file' as const, mediaType: 'application/pdf', data: 'JVBERi0xLjc=' };
    const messages = [user('one'), user('two'), { role: 'user', content: [file] } as Message, said('a'), said('b')];
    expect(contextOf(of(messages))).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'one\n\ntwo' }, file] },
      said('a\n\nb'),
    ]);
  });

  it('omits blank messages, which the record keeps', () => {
    const blank: Message = {
      role: 'assistant',
      content: [{ type: 'text', text: ' \n ' }, ...(calling('a').content as [])],
    };
    const messages = [user('go'), said('  '), user('on'), blank, result('a'), said('\n'), user('next')];
    const before = structuredClone(messages);
    expect(shape(contextOf(of(messages)))).toEqual(['user', 'calls 1', 'results 1', 'assistant', 'user']);
    expect(JSON.stringify(contextOf(of(messages)))).not.toContain(' \\n ');
    expect(messages).toEqual(before);
  });

  it('sends reasoning and provider options only to the model that wrote them', () => {
    const signed = { anthropic: { signature: 'abc' } };
    const [call] = calling('a').content as [Part & { type: 'tool-call' }];
    const own: Message = {
      role: 'assistant',
      content: [
        { type: 'reasoning', text: 'hm', providerOptions: signed },
        { type: 'text', text: 'let me see' },
        { ...call, providerOptions: { google: { thoughtSignature: 'xyz' } } },
      ],
    };
    const conversation = of([user('go'), own, result('a')]);
    const wire = { ...call, toolCallId: 'call00001' };
    expect(contextOf(conversation)[1]?.content).toEqual([
      own.content[0],
      own.content[1],
      { ...wire, providerOptions: { google: { thoughtSignature: 'xyz' } } },
    ]);
    for (const other of [{ model: 'mock/other' }, { model: 'another/own' }]) {
      expect(contextOf(conversation, other)[1]?.content).toEqual([own.content[1], wire]);
    }
    const unknown = { ...conversation, messageModels: [undefined, undefined, undefined] };
    expect(contextOf(unknown)[1]?.content).toEqual([own.content[1], wire]);
  });

  describe('files', () => {
    const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const sent = (file: Partial<Part & { type: 'file' }>, options = {}): unknown => {
      const part = { type: 'file' as const, mediaType: 'image/png', data: PNG, ...file };
      const content = [{ type: 'text' as const, text: 'look' }, part];
      return contextOf(of([{ role: 'user', content }]), options)[0]?.content[1];
    };

    it.each([
      ['image/png', PNG],
      ['image/png', `data:image/png;base64,${PNG}`],
      ['image/jpeg', PNG],
      ['application/octet-stream', PNG],
    ])('detects the type of an image declared as %s from its bytes', (mediaType, data) => {
      expect(sent({ mediaType, data })).toEqual({ type: 'file', mediaType: 'image/png', data: PNG });
    });

    it.each([
      [{ data: 'eA==' }, 'image/png, omitted: it is not a PNG, JPEG, GIF or WebP image'],
      [{ data: '', filename: 'a.png' }, 'a.png, omitted: it is empty'],
      [{ data: 'no base64!' }, 'image/png, omitted: it is not base64'],
      [{ data: 'https://example.com/a.png' }, 'image/png, omitted: it is only a URL'],
      [{ mediaType: 'application/pdf', data: 'eA==' }, 'application/pdf, omitted: it is not a PDF'],
      [
        { mediaType: 'application/zip', data: 'AAAA' },
        'application/zip, omitted: it is neither text nor an image or PDF',
      ],
    ])('sends a note in place of a broken file: %j', (file, words) => {
      expect(sent(file)).toEqual({ type: 'text', text: `[file ${words}]` });
    });

    it('sends a text file as text, and only the names of files the model does not support', () => {
      const data = Buffer.from('a,b\n').toString('base64');
      expect(sent({ mediaType: 'text/csv', filename: 't.csv', data })).toEqual({
        type: 'text',
        text: '[file t.csv]\na,b\n',
      });
      const name = { filename: 'cat.png' };
      expect(sent(name, { files: false })).toEqual({ type: 'text', text: "[file cat.png, which you can't see]" });
    });

    it('tells the name of one that is in a reply, which no protocol can send back', () => {
      const picture = { type: 'file' as const, mediaType: 'image/png', filename: 'cat.png', data: PNG };
      const reply: Message = { role: 'assistant', content: [{ type: 'text', text: 'here it is' }, picture] };
      expect(contextOf(of([user('draw'), reply]))[1]?.content).toEqual([
        { type: 'text', text: 'here it is' },
        { type: 'text', text: "[file cat.png, which you can't see]" },
      ]);
    });
  });

  it('shortens the output of a tool, only for the model', () => {
    const whole = `first ${'x'.repeat(300_000)} last`;
    const messages = [user('go'), calling('a'), result('a', whole)];
    const sent = JSON.stringify(contextOf(of(messages)));
    expect(Buffer.byteLength(sent)).toBeLessThan(263_000);
    expect(sent).toMatch(/first x+.*omitted.*x+ last/);
    expect(JSON.stringify(messages)).toContain(whole);
  });

  it('sends calls and results as text if no tools are offered', () => {
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
  it('adds an estimate of newer messages to the reported count', () => {
    const messages = [user('go'), said('done')];
    expect(tokensOf({ ...of(messages), contextTokens: 1000 })).toBe(1000);
    const more = tokensOf({ ...of([...messages, user('x'.repeat(4000))]), contextTokens: 1000 });
    expect(more).toBeGreaterThan(1990);
    expect(more).toBeLessThan(2100);
  });

  it('is an estimate if the reported count is impossible', () => {
    for (const contextTokens of [2 ** 41, Number.MAX_SAFE_INTEGER, 2 * Number.MAX_SAFE_INTEGER]) {
      expect(tokensOf({ ...of([user('hello')]), contextTokens })).toBe(tokensOf(of([user('hello')])));
    }
  });

  it('is an estimate of the next request if no count was reported', () => {
    const messages = [user('x'.repeat(40_000)), said('y'), user('go')];
    expect(tokensOf(of(messages))).toBeGreaterThan(10_000);
    expect(tokensOf({ ...of(messages), compaction: { summary: 's', through: 2 } })).toBeLessThan(100);
  });
});

function of(messages: readonly Message[]): Conversation {
  return {
    messages,
    messageEvents: messages.map((_, at) => at + 1),
    messageModels: messages.map(({ role }) => (role === 'assistant' ? 'mock/own' : undefined)),
    compaction: undefined,
    contextTokens: null,
    model: 'mock/own',
  };
}

function shape(messages: readonly Message[]): string[] {
  return messages.map((message) => {
    const ids = idsIn(message);
    if (ids.length === 0) return message.role;
    const numbers = ids.map((id) => Number.parseInt(id.slice('call'.length), 36));
    return `${message.role === 'tool' ? 'results' : 'calls'} ${numbers.join(',')}`;
  });
}

const thinking = (text: string): Message => ({ role: 'assistant', content: [{ type: 'reasoning', text }] });

function textsIn(content: Message['content']): string[] {
  if (typeof content === 'string') return [content];
  return (content as Part[]).flatMap((part) => (part.type === 'text' ? part.text : []));
}

function idsIn(message: Message | undefined): string[] {
  const content = message?.content ?? '';
  if (typeof content === 'string') return [];
  return (content as { toolCallId?: string }[]).flatMap(({ toolCallId }) => toolCallId ?? []);
}

describe('the instructions before the conversation', () => {
  const conversation = {
    ...emptyState,
    messages: [{ role: 'user', content: 'hello' } as const],
    messageEvents: [1],
    messageModels: [undefined],
  };

  it('are sent in one system message, in order, without empty ones', () => {
    const instructions = [
      { source: 'agents', text: 'use tabs' },
      { source: 'system', text: 'be brief' },
    ] as const;
    expect(contextOf({ ...conversation, instructions })[0]).toEqual({
      role: 'system',
      content: 'Instructions from the AGENTS.md of the directory:\n\nuse tabs\n\nbe brief',
    });
    expect(contextOf({ ...conversation, instructions: [{ source: 'agents', text: '' }] })).toEqual(
      conversation.messages,
    );
  });
});

describe('the size of a file in tokens', () => {
  const of = (mediaType: string, bytes: number): number =>
    estimate([{ role: 'user', content: [{ type: 'file', mediaType, data: Buffer.alloc(bytes).toString('base64') }] }]);

  it('is constant for an image and grows with a PDF or a text', () => {
    expect(of('image/png', 5_000_000)).toBe(of('image/png', 100));
    expect(of('image/png', 100)).toBeGreaterThan(1000);
    expect(of('application/pdf', 5_000_000)).toBe(100_004);
    expect(of('text/plain', 400_000)).toBe(100_004);
  });
});
