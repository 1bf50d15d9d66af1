import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestWriter } from '../../../src/chat/wire/body.ts';

const short = fc.string({ unit: 'binary', maxLength: 20 });
/** Texts with a common prefix, some long enough to be cached. */
const text = fc.oneof(
  short,
  short.map((end) => `${'a longer text " 🎉'.repeat(20)}${end}`),
);
const message = fc.record(
  { role: fc.constantFrom('user', 'assistant', 'tool'), content: fc.oneof(text, fc.constant(null), fc.array(text)) },
  { requiredKeys: ['role'] },
);
const request = fc.record({ model: text, messages: fc.array(message), tools: fc.array(text) });

describe('a written request', () => {
  it('equals its JSON, whatever was written before', () => {
    const rounds = fc.array(request, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(rounds, (all) => {
        const writer = new RequestWriter();
        for (const each of [...all, ...all]) expect(read(writer.write(each))).toEqual(JSON.parse(JSON.stringify(each)));
      }),
    );
  });

  it('repeats a text that was sent in another role', () => {
    const writer = new RequestWriter();
    const content = 'x'.repeat(1000);
    for (const role of ['user', 'assistant']) {
      const messages = [{ role, content, more: 1 }];
      expect(read(writer.write({ messages }))).toEqual({ messages });
    }
  });
});

function read(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
}
