import { describe, expect, it } from 'vitest';
import { openModel, parseModelName } from '../../../src/chat/models/models.ts';
import { providerSchema } from '../../../src/chat/models/provider-schema.ts';
import { findEndpoint } from '../../../src/chat/models/providers.ts';
import { isCofferError } from '../../../src/errors.ts';

describe('parseModelName', () => {
  it.each([
    ['ollama/qwen3', 'ollama', 'qwen3'],
    ['openrouter/anthropic/claude-x', 'openrouter', 'anthropic/claude-x'],
    ['llamacpp//models/a.gguf', 'llamacpp', '/models/a.gguf'],
    ['  demo/eliza ', 'demo', 'eliza'],
    ['ollama/qwen3:8b-q4_K_M', 'ollama', 'qwen3:8b-q4_K_M'],
  ])('splits %j at its first slash', (name, provider, model) => {
    expect(parseModelName(name)).toEqual({ provider, model });
  });

  it.each(['', 'gpt-4', '/x', 'ollama/', 'ollama/ ', 'a b/c', '../x/y', 'ollama/a\nb', 'ollama/\u001b[31m'])(
    'refuses %j, saying what a name looks like',
    (name) => {
      expect(() => parseModelName(name)).toThrow(
        expect.objectContaining({ code: 'MODEL_UNKNOWN', message: expect.stringContaining('provider/model') }),
      );
    },
  );

  it('escapes control characters and shortens long names in its message', () => {
    expect(() => parseModelName('\u001b[31m\u202e\u009b')).toThrow('"\\u001b[31m\\u202e\\u009b"');
    expect(messageOf(() => parseModelName('x'.repeat(5000))).length).toBeLessThan(200);
  });
});

describe('findEndpoint', () => {
  it('lists the known providers, including those of the settings, for an unknown one', () => {
    const message = messageOf(() => findEndpoint('nowhere/x', { mine: {} }, {}));
    expect(message).toBe(
      'unknown provider nowhere in "nowhere/x"; known: anthropic, demo, llamacpp, lmstudio, mine, ollama, openai, openrouter, vllm',
    );
  });

  it.each(['constructor/x', 'toString/x', 'hasOwnProperty/x'])('does not accept %s as a provider', (name) => {
    expect(() => findEndpoint(name, {}, {})).toThrow(expect.objectContaining({ code: 'MODEL_UNKNOWN' }));
  });

  it.each([
    ['openai/gpt-x', 'OPENAI_API_KEY'],
    ['openrouter/anthropic/claude-x', 'OPENROUTER_API_KEY'],
    ['anthropic/claude-x', 'ANTHROPIC_API_KEY'],
  ])('names the variable in which the key for %s is missing', (name, variable) => {
    for (const env of [{}, { [variable]: '' }, { [variable]: ' \n' }]) {
      expect(() => findEndpoint(name, {}, env)).toThrow(
        expect.objectContaining({ code: 'MODEL_KEY_MISSING', message: expect.stringContaining(variable) }),
      );
    }
  });

  it('refuses a key that no header can carry without showing it', () => {
    const message = messageOf(() => findEndpoint('openai/x', {}, { OPENAI_API_KEY: 'sk-one\nsk-two' }));
    expect(message).toContain('OPENAI_API_KEY');
    expect(message).not.toContain('sk-');
  });

  it('strips the line break at the end of a key', () => {
    expect(findEndpoint('openai/x', {}, { OPENAI_API_KEY: 'sk-one\n' }).apiKey).toBe('sk-one');
  });

  it('needs no key for a local server', () => {
    expect(findEndpoint('ollama/qwen3', {}, {})).toEqual({
      provider: 'ollama',
      model: 'qwen3',
      type: 'ollama',
      baseURL: 'http://127.0.0.1:11434/v1',
      apiKey: undefined,
      apiKeyEnv: undefined,
      isLocal: true,
      contextWindow: undefined,
      maxOutputTokens: undefined,
      price: undefined,
    });
  });

  it('uses the window and the price of a model from the settings, for that model only', () => {
    const prices = { small: { input: 0.5, output: 2 } };
    const mine = { baseURL: 'https://models.example/v1', contextWindow: 8192, prices };
    expect(findEndpoint('mine/small', { mine }, {})).toMatchObject({ contextWindow: 8192, price: prices.small });
    expect(findEndpoint('mine/toString', { mine }, {}).price).toBeUndefined();
  });

  it.each([
    ['http://127.8.9.1:1/v1', true],
    ['http://[::1]:1/v1', true],
    ['http://[::ffff:127.0.0.1]:1/v1', true],
    ['http://LOCALHOST/v1', true],
    ['http://box.localhost/v1', true],
    ['http://127.0.0.1.example.com/v1', false],
    ['http://localhost.example.com/v1', false],
    ['http://192.168.0.2/v1', false],
    ['http://[::ffff:10.0.0.1]/v1', false],
  ])('tells by the address whether a model is on this machine: %s', (baseURL, isLocal) => {
    expect(findEndpoint('mine/x', { mine: { baseURL } }, {}).isLocal).toBe(isLocal);
  });

  it('lets the settings override a provider key by key', () => {
    const providers = { anthropic: { baseURL: 'https://proxy.example/v1' }, ollama: { apiKeyEnv: 'BOX_KEY' } };
    const env = { ANTHROPIC_API_KEY: 'a', BOX_KEY: 'b' };
    expect(findEndpoint('anthropic/x', providers, env)).toMatchObject({
      type: 'anthropic',
      baseURL: 'https://proxy.example/v1',
      apiKey: 'a',
    });
    expect(findEndpoint('ollama/x', providers, env)).toMatchObject({
      baseURL: 'http://127.0.0.1:11434/v1',
      apiKey: 'b',
    });
  });

  describe('for a provider with an API key', () => {
    const insecure = [
      'http://models.example/v1',
      'http://models.example:443/v1',
      'HTTP://MODELS.EXAMPLE/v1',
      'http://192.168.0.2/v1',
      'http://10.0.0.1:8080/v1',
      'http://0x0a000001/v1',
      'http://[fd00::1]/v1',
      'http://[::ffff:10.0.0.1]/v1',
      'http://localhost.example/v1',
      'http://127.0.0.1.example/v1',
      'http:models.example/v1',
    ];
    const secure = [
      'https://models.example/v1',
      'https://192.168.0.2/v1',
      'http://localhost:11434/v1',
      'http://127.8.9.1/v1',
      'http://0x7f000001/v1',
      'http://[::1]:1/v1',
      'http://box.localhost/v1',
    ];
    const env = { BOX_KEY: 'sk-secret', ANTHROPIC_API_KEY: 'sk-secret' };

    it.each(insecure)('refuses %s unless allowInsecure is set for that provider', (baseURL) => {
      for (const mine of [{ apiKeyEnv: 'BOX_KEY' }, { apiKeyEnv: 'BOX_KEY', allowInsecure: false }]) {
        const providers = { mine: { baseURL, ...mine }, other: { baseURL, allowInsecure: true } };
        const attempt = () => findEndpoint('mine/x', providers, env);
        expect(attempt).toThrow(expect.objectContaining({ code: 'SETTINGS_INVALID' }));
        expect(messageOf(attempt)).toContain('providers.mine.allowInsecure');
        expect(messageOf(attempt)).not.toContain('sk-secret');
      }
      const allowed = { mine: { baseURL, apiKeyEnv: 'BOX_KEY', allowInsecure: true } };
      expect(findEndpoint('mine/x', allowed, env).apiKey).toBe('sk-secret');
    });

    it('refuses before it looks for the key, even for a built-in provider with another address', () => {
      const mine = { baseURL: 'http://models.example/v1', apiKeyEnv: 'BOX_KEY' };
      expect(() => findEndpoint('mine/x', { mine }, {})).toThrow(expect.objectContaining({ code: 'SETTINGS_INVALID' }));
      const anthropic = { baseURL: 'http://proxy.example/v1' };
      expect(() => findEndpoint('anthropic/x', { anthropic }, env)).toThrow(
        expect.objectContaining({ code: 'SETTINGS_INVALID' }),
      );
    });

    it.each(secure)('accepts %s', (baseURL) => {
      const mine = { baseURL, apiKeyEnv: 'BOX_KEY' };
      expect(findEndpoint('mine/x', { mine }, env).apiKey).toBe('sk-secret');
    });
  });

  it('accepts http:// to another machine without an API key', () => {
    const mine = { baseURL: 'http://192.168.0.2:11434/v1' };
    expect(findEndpoint('mine/x', { mine }, {}).isLocal).toBe(false);
  });

  it.each([{}, { baseURL: 'file:///x' }])(
    'requires a valid address for a provider of the settings, not %j',
    (settings) => {
      expect(() => findEndpoint('mine/x', { mine: settings }, {})).toThrow(
        expect.objectContaining({ code: 'SETTINGS_INVALID', message: expect.stringContaining('mine') }),
      );
    },
  );
});

describe('providerSchema', () => {
  it('accepts all settings of a provider', () => {
    const settings = {
      type: 'anthropic',
      baseURL: 'https://models.example:8443/v1',
      apiKeyEnv: 'MY_KEY',
      allowInsecure: true,
      contextWindow: 200_000,
    } as const;
    expect(providerSchema.parse(settings)).toEqual(settings);
    expect(providerSchema.parse({})).toEqual({});
  });

  it.each([
    { type: 'gemini' },
    { baseURL: 'models.example/v1' },
    { baseURL: 'file:///etc/passwd' },
    { baseURL: 'https://user:secret@models.example/v1' },
    { baseURL: 'https://models.example/v1?key=secret' },
    { baseURL: 'https://models.example/v1#part' },
    { apiKeyEnv: 'sk-this-is-a-key' },
    { allowInsecure: 'yes' },
    { contextWindow: 0 },
    { apiKey: 'sk-1' },
  ])('refuses %j', (settings) => {
    expect(providerSchema.safeParse(settings).success).toBe(false);
  });
});

describe('openModel', () => {
  it('rejects invalid names', async () => {
    const options = { providers: {}, env: {} };
    await expect(openModel('gpt', options)).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' });
    await expect(openModel('nowhere/x', options)).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' });
    await expect(openModel('openai/x', options)).rejects.toMatchObject({ code: 'MODEL_KEY_MISSING' });
    await expect(openModel('demo/x', options)).rejects.toThrow('available: demo/eliza, demo/echo and demo/tools');
    await expect(openModel('demo/constructor', options)).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' });
  });

  it.each(['demo/eliza', 'demo/echo', 'ollama/qwen3'])('gives %s its name', async (name) => {
    expect((await openModel(name, { providers: {}, env: {} })).name).toBe(name);
  });
});

function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (isCofferError(error)) return error.message;
    throw error;
  }
  throw new Error('nothing was thrown');
}
