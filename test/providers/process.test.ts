import { describe, expect, it } from 'vitest';
import { makePlace } from '../support/coffer.ts';
import { settingsOf } from './conversation.ts';
import { dialectOf } from './dialects.ts';
import { startProvider, USE_TOOLS } from './server.ts';

describe('a conversation continued in another process with another provider', () => {
  it.each([
    ['anthropic', 'gemini'],
    ['gemini', 'deepseek'],
    ['deepseek', 'openrouter'],
    ['openrouter', 'mistral'],
    ['ollama', 'llamacpp'],
  ])('has no request refused: %s, then %s, and back', async (first, second) => {
    await using a = await startProvider(dialectOf(first));
    await using b = await startProvider(dialectOf(second));
    const providers = { [first]: settingsOf(a), [second]: settingsOf(b) };
    await using place = await makePlace({ settings: { providers } });
    const env = { SCRIPTED_KEY: 'scripted' };
    const say = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await place.run([...args, '--prompt', USE_TOOLS], { env });
      expect([code, stderr]).toEqual([0, expect.not.stringContaining('refused')]);
      return stdout;
    };
    expect(await say('--model', `${first}/m`)).toContain(`${first} answers`);
    expect(await say('resume', 'last', '--model', `${second}/m`)).toContain(`${second} answers`);
    expect(await say('resume', 'last', '--model', `${first}/m`)).toContain(`${first} answers`);
    expect([a.faults, b.faults]).toEqual([[], []]);
    expect([a.answered, b.answered]).toEqual([6, 3]);
  });
});
