import { expect, it } from 'vitest';
import { errorSchema } from '../../src/cli/schemas.ts';
import { CofferError } from '../../src/errors.ts';
import { FakeTerminal } from './fake-terminal.ts';

it('prints the fields of an error as one line of JSON', () => {
  const fake = new FakeTerminal();
  const holder = { pid: 12, since: 34 };
  const advice = 'close it there or start a new one';
  const said = 'what a provider said';
  fake.terminal.failJson(new CofferError('SESSION_IN_USE', 'in use by process 12', { advice, holder, said }), 11);
  const line = errorSchema.parse(JSON.parse(fake.err));
  const what = 'in use by process 12';
  expect(line).toEqual({
    error: { code: 'SESSION_IN_USE', exit: 11, message: `${what}; ${advice}`, reason: what, advice, holder, said },
  });
});
