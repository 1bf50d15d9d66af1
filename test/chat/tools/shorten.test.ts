import { describe, expect, it } from 'vitest';
import { MODEL_LIMIT, shortenForModel } from '../../../src/chat/tools/shorten.ts';
import type { Message } from '../../../src/session/event/event.ts';

function result(value: string, type = 'text'): Message {
  return { role: 'tool', content: [{ type: 'tool-result', toolCallId: 'c', toolName: 't', output: { type, value } }] };
}

function valueIn(message: Message): string {
  const [part] = message.content as { output: { value: string } }[];
  return part?.output.value ?? '';
}

describe('shortenForModel', () => {
  it('leaves output at the limit unchanged', () => {
    const message = result('x'.repeat(MODEL_LIMIT));
    expect(shortenForModel(message)).toEqual(message);
  });

  it.each(['text', 'error-text'])('cuts %s to its beginning and end, and says how much is omitted', (type) => {
    const whole = `begin${'x'.repeat(MODEL_LIMIT)}end`;
    const message = result(whole, type);
    const short = valueIn(shortenForModel(message));
    expect(Buffer.byteLength(short)).toBeLessThanOrEqual(MODEL_LIMIT);
    const [, left] =
      /\n\[(\d+) bytes of 262152 are omitted here; the session has the whole output\]\n/.exec(short) ?? [];
    const line = /\n\[.*\]\n/.exec(short)?.[0] ?? '';
    expect(Number(left)).toBe(whole.length - (short.length - line.length));
    expect(short).toMatch(/^begin.*end$/s);
    expect(valueIn(message)).toBe(whole);
  });

  it.each(['é', '€', '🐚'])('never splits %s', (character) => {
    for (const shift of ['', 'a', 'aa', 'aaa']) {
      const short = valueIn(shortenForModel(result(shift + character.repeat(MODEL_LIMIT))));
      expect(short).not.toContain('�');
      expect(Buffer.byteLength(short)).toBeLessThanOrEqual(MODEL_LIMIT);
    }
  });

  it('leaves other messages and other forms of output unchanged', () => {
    const said: Message = { role: 'user', content: 'x'.repeat(MODEL_LIMIT + 1) };
    expect(shortenForModel(said)).toBe(said);
    const other = {
      type: 'tool-result',
      toolCallId: 'c',
      toolName: 't',
      output: { type: 'json', value: [1] },
    } as const;
    expect(shortenForModel({ role: 'tool', content: [other] })).toEqual({ role: 'tool', content: [other] });
  });
});
