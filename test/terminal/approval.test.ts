import { describe, expect, it } from 'vitest';
import type { ApprovalRequest } from '../../src/chat/tools/toolbox.ts';
import type { Approval } from '../../src/session/event/event.ts';
import { askApproval } from '../../src/terminal/approval.ts';
import { Input } from '../../src/terminal/input/input.ts';
import { FakeTerminal } from './fake-terminal.ts';

const QUESTION = /(?:session|eny): $/;
const request = { toolCallId: 'c1', toolName: 'run_command', rule: 'command:ls', about: 'run ls', detail: 'ls' };

describe('askApproval', () => {
  it('is not answered by keys that had arrived but were not read when it was asked', async () => {
    const { fake, input, approve } = at();
    const first = input.next('» ');
    fake.type('go\r');
    await first;
    const answer = approve(request, idle());
    fake.type('o\r');
    await fake.waitFor(QUESTION);
    fake.type('s\r');
    expect(await answer).toBe('session');
    expect(await input.next('» ')).toBe('o');
  });

  it('is not answered by keys that arrived before anything read the terminal', async () => {
    const { fake, approve } = at();
    fake.type('o\r');
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('s\r');
    expect(await answer).toBe('session');
  });

  it('is not answered by text typed after the previous answer', async () => {
    const { fake, approve } = at();
    const first = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('o\ro\r');
    expect(await first).toBe('once');
    const second = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('\r');
    expect(await second).toBe('deny');
  });

  it('takes a paste as one answer, sent by Enter, and asks again for unknown answers', async () => {
    const { fake, approve } = at();
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('\u001b[200~o\rs\r\u001b[201~\r');
    await fake.waitFor(/session: o s \n.*session: $/s);
    fake.type('constructor\r');
    await fake.waitFor(/session: constructor\n.*session: $/s);
    fake.type('\r');
    expect(await answer).toBe('deny');
  });

  it.each([
    ['on a terminal with colours', {}, true],
    ['except with NO_COLOR', { NO_COLOR: '1' }, false],
  ])('shows a diff in colours %s', async (_, env, coloured) => {
    const { fake, approve } = at(env);
    const detail = '--- a\n+++ a\n@@ -1 +1 @@\n-old \u001b[2J\n+new\n';
    const answer = approve({ ...request, toolName: 'write_file', rule: 'write:/etc', detail }, idle());
    await fake.waitFor(/ {2}-old \\x1b\[2J\n {2}\+new\n {2}session: writing anything in \/etc, while/);
    expect(fake.shown.includes('\u001b[32m+new\u001b[39m')).toBe(coloured);
    await fake.waitFor(QUESTION);
    fake.type('\r');
    await answer;
  });

  it.each([
    ['read', '  session: reading anything in the working directory\n  deny: reading anything anywhere\n'],
    [
      'read:/srv/\u200bx',
      '  session: reading anything in /srv/\\u{200b}x, while this is the working directory\n  deny: reading anything in /srv/\\u{200b}x\n',
    ],
    ['write', '  session: writing anything in the working directory\n  deny: writing anything anywhere\n'],
    [
      'write:/srv',
      '  session: writing anything in /srv, while this is the working directory\n  deny: writing anything in /srv\n',
    ],
    [
      'command:ls',
      '  session: this exact command, in this directory, only in a sandbox\n  deny: this exact command, with or without network access\n',
    ],
    [
      'network:curl x',
      '  session: this exact command, with network access, in this directory, only in a sandbox\n  deny: this exact command, with network access\n',
    ],
  ])('shows the lasting scope of %s', async (rule, words) => {
    const { fake, approve } = at();
    const answer = approve({ ...request, rule }, idle());
    await fake.waitFor(QUESTION);
    expect(fake.shown).toContain(words);
    fake.type('\r');
    await answer;
  });

  it.each([
    ['command:ls', 'this exact command, in this directory, with or without a sandbox'],
    ['network:ls', 'this exact command, with network access, in this directory, with or without a sandbox'],
  ])('shows that %s asked for without a sandbox is allowed without one', async (rule, words) => {
    const { fake, approve } = at();
    const answer = approve({ ...request, rule, sandboxed: false }, idle());
    await fake.waitFor(QUESTION);
    expect(fake.shown).toContain(`  session: ${words}\n`);
    fake.type('\r');
    await answer;
  });

  it('escapes every invisible character', async () => {
    const { fake, approve } = at();
    const hidden = Array.from({ length: 0x11_0000 }, (_, code) => code)
      .filter((code) => code < 0xd800 || code > 0xdfff)
      .map((code) => String.fromCodePoint(code))
      .filter((character) => /\p{Default_Ignorable_Code_Point}/u.test(character));
    expect(hidden.length).toBeGreaterThan(4000);
    const answer = approve({ ...request, detail: hidden.map((character) => `ls${character}x`).join('\n') }, idle());
    await fake.waitFor(QUESTION);
    fake.type('v\r');
    await fake.waitFor(/show all\n.*session: $/s);
    const shown = fake.shown.split('show all').at(-1) ?? '';
    expect(shown.match(/\p{Default_Ignorable_Code_Point}/gu)).toBe(null);
    expect(shown.match(/ls\\[ux]\S*x/g)).toHaveLength(hidden.length);
    expect(shown).toContain('ls\\u{fe0f}x');
    fake.type('\r');
    expect(await answer).toBe('deny');
  });

  it('fits in one row of a narrow terminal', async () => {
    const { fake, approve } = at();
    Object.assign(fake.stdout, { columns: 40 });
    const answer = approve(request, idle());
    const [line] = await fake.waitFor(/[^\r\n]*eny: $/);
    expect(line.length).toBeLessThan(40);
    fake.type('o\r');
    expect(await answer).toBe('once');
  });

  it('supports backspace and Ctrl+U', async () => {
    const { fake, approve } = at();
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type('ox\u007f\u007fs\u0015d\r');
    expect(await answer).toBe('always');
  });

  it.each([
    ['y', 'once'],
    ['yes', 'once'],
    ['Y', 'once'],
    ['o', 'once'],
    ['s', 'session'],
    ['n', 'deny'],
    ['d', 'always'],
    ['deny', 'always'],
    ['', 'deny'],
  ])('takes %j as %s', async (typed, expected) => {
    const { fake, approve } = at();
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type(`${typed}\r`);
    expect(await answer).toBe(expected);
  });

  it.each(['a', 'always', 'A', 'all', 'allow'])('asks again for %j, which is ambiguous', async (typed) => {
    const { fake, approve } = at();
    const answer = approve(request, idle());
    await fake.waitFor(QUESTION);
    fake.type(`${typed}\r`);
    await fake.waitFor(new RegExp(`session: ${typed}\\n.*session: $`, 's'));
    fake.type('\r');
    expect(await answer).toBe('deny');
  });

  it('is withdrawn when the turn is cancelled by another client', async () => {
    const { fake, approve } = at();
    const cancel = new AbortController();
    const answer = approve(request, cancel.signal);
    await fake.waitFor(QUESTION);
    cancel.abort();
    expect(await answer).toBe('deny');
  });
});

function at(env: NodeJS.ProcessEnv = {}): {
  fake: FakeTerminal;
  input: Input;
  approve(request: ApprovalRequest, signal: AbortSignal): Promise<Approval>;
} {
  const fake = new FakeTerminal({ tty: true, env });
  const input = new Input(fake.terminal);
  const on = { terminal: fake.terminal, input };
  return { fake, input, approve: async (request, signal) => (await askApproval(request, on, signal)) ?? 'deny' };
}

function idle(): AbortSignal {
  return new AbortController().signal;
}
