import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const models = new URL('../../../src/chat/models/models.ts', import.meta.url).href;

// Prints the packages loaded once a model is open, and those loaded by its first reply.
const script = `
  import { registerHooks } from 'node:module';
  let packages = new Set();
  registerHooks({
    load(url, context, next) {
      const name = /\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url)?.[1];
      if (name !== undefined) packages.add(name);
      return next(url, context);
    },
  });
  const { openModel } = await import(${JSON.stringify(models)});
  const providers = { mock: { baseURL: 'http://127.0.0.1:9/v1' } };
  const model = await openModel('mock/x', { providers, env: {} });
  const before = [...packages];
  packages = new Set();
  const reply = model.reply([{ role: 'user', content: 'x' }], new AbortController().signal);
  await reply[Symbol.asyncIterator]().next().catch(() => undefined);
  console.log(JSON.stringify([before, [...packages]]));
`;

describe('the SDK', () => {
  it('is loaded on the first reply, and only for the protocol in use', async () => {
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    const [before, after] = JSON.parse(stdout) as [string[], string[]];
    expect(before).toEqual([]);
    expect(after).toContain('@ai-sdk/openai-compatible');
    expect(after).not.toContain('@ai-sdk/anthropic');
  });
});
