import { describe, expect, it } from 'vitest';
import { conversation, makePlace, type Place } from '../support/coffer.ts';

/** The year with which every id made today begins. */
const year = new Date().getFullYear();

describe('/resume of something that does not exist', () => {
  it.each([
    ['a number that no row has', '99', /no session 99\b/],
    ['a name that no session has', 'nothing', /no session nothing\b/],
    ['zero', '0', /no session 0\b/],
    ['a negative number', '-1', /no session -1\b/],
    ['a path', '../../etc/passwd', /no session \.\.\/\.\.\/etc\/passwd/],
    ['a number that ids begin with', '20', /no session 20;/],
    ['an ambiguous prefix', `${year}-`, /^\d+- could be any of 4: .*_one/],
    ['a name that two have', 'twin', /twin could be any of 2: \S+_twin\S*, \S+_twin\S*/],
  ])('%s prints one clear line, and the current conversation continues untouched', async (name, which, line) => {
    await using place = await makePlace();
    await prepare(place, name.includes('two have') ? ['twin', 'twin'] : ['one', 'two']);
    const others = await place.sessionBytes();

    const input = `before\n/resume ${which}\nafter\n`;
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo'], { input });
    expect(code).toBe(0);
    expect(stdout).toBe('echo: before\necho: after\n');
    expect(stderr.split('\n').filter((text) => line.test(text))).toHaveLength(1);

    const present = await place.exported('_autosave');
    expect(conversation(present)).toEqual([
      'user: before',
      'assistant: echo: before',
      'user: after',
      'assistant: echo: after',
    ]);
    const after = await place.sessionBytes();
    for (const [file, bytes] of others) expect(after.get(file)).toEqual(bytes);
  });

  it.each([['99'], ['nothing'], ['20'], [`${year}-`]])(
    'coffer resume %s ends with 10 and starts no chat',
    async (which) => {
      await using place = await makePlace();
      await prepare(place, ['one', 'two']);
      const { code, stdout, stderr } = await place.run(['resume', which], { input: 'never said\n' });
      expect(code).toBe(10);
      expect(stdout).toBe('');
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(await place.sessionFiles()).toHaveLength(3);
    },
  );
});

/** Makes one session, and a snapshot of it under each name. */
async function prepare(place: Place, names: readonly string[]): Promise<void> {
  const input = `earlier\n${names.map((name) => `/save ${name}\n`).join('')}`;
  expect((await place.run(['--model', 'demo/echo'], { input })).code).toBe(0);
}
