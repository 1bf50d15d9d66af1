import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { conversation, makePlace, type Place } from '../support/coffer.ts';
import type { Terminal } from '../support/pty.ts';

const CTRL_X = '\u0018';
const HIDE = '\u001b[?25l';
const SHOW = '\u001b[?25h';

beforeEach(requirePosix);

describe('/resume alone', () => {
  it('resumes the session that a filter leaves', async () => {
    await using place = await makePlace();
    await say(place, 'about apples', 'about bananas', 'about cherries');
    await using chat = await open(place);
    chat.enter('/resume');
    await chat.waitFor(/resume which session\?/);
    chat.type('BANANAS');
    await chat.waitFor(/\(1 match\)/);
    chat.key('enter');
    await chat.waitFor(/resumed session \S+ \(2 messages, demo\/echo\)/);
    await chat.waitFor(/» /);
    await answered(chat, 'and more');
    await quit(chat);
    expect(await conversations(place)).toEqual([
      ['user: about bananas', 'assistant: echo: about bananas', 'user: and more', 'assistant: echo: and more'],
      ['user: about cherries', 'assistant: echo: about cherries'],
      ['user: about apples', 'assistant: echo: about apples'],
    ]);
  });

  it('lists the newest first, with details, and moves down and up', async () => {
    await using place = await makePlace();
    await say(place, 'about apples', 'about bananas', 'about cherries');
    await using chat = await open(place);
    chat.enter('/resume');
    const [shown] = await chat.waitFor(/● 1 .*to search/s);
    const details = `2 messages, just now, demo/echo, completed, ${place.project}`;
    const rows = shown.split('\n').slice(0, 6);
    expect(rows.map((line) => line.replace(/\d+ seconds ago/, 'just now').trim())).toEqual([
      ...['● 1  about cherries', details, '○ 2  about bananas', details, '○ 3  about apples', details],
    ]);
    for (const key of ['down', 'down', 'up'] as const) chat.key(key);
    await chat.waitFor(/● 2 {2}about bananas.*● 3 {2}about apples.*● 2 {2}about bananas/s);
    chat.key('enter');
    await chat.waitFor(/resumed session/);
    await quit(chat);
  });

  it('keeps its position when the terminal is resized', async () => {
    await using place = await makePlace();
    await say(place, `about ${'apples '.repeat(20)}`, 'about bananas');
    await using chat = await open(place);
    chat.enter('/resume');
    await chat.waitFor(/● 1 .*to search/s);
    chat.key('down');
    await chat.waitFor(/● 2 {2}about apples/);
    chat.resize(40, 12);
    // As long as a row is now; the previous frame may still be arriving.
    await chat.waitFor(/● 2 {2}about apples [aples ]{0,24}…/);
    chat.key('enter');
    await chat.waitFor(/resumed session/);
    await quit(chat);
  });

  it('says which session another chat has open, and lets no title control the terminal', async () => {
    await using place = await makePlace();
    await say(place, 'evil \u001b[2J\u001b]0;owned\u0007 \u202e\u009b5m');
    await using other = await open(place);
    await answered(other, 'held by another');
    await using chat = await open(place);
    const before = chat.raw().length;
    chat.enter('/resume');
    await chat.waitFor(/held by another\s+2 messages, [^,]+, demo\/echo, in use, .*evil .*to search/s);
    const shown = chat.raw().slice(before);
    expect(shown).toContain('evil \\x1b[2J\\x1b]0;owned\\x07 \\u202e\\x9b5m');
    for (const sequence of ['\u001b[2J', '\u001b]', '\u0007', '\u202e', '\u009b'])
      expect(shown).not.toContain(sequence);
    chat.key('escape');
    await chat.waitFor(/» /);
    await quit(chat);
    await quit(other);
  });
});

describe('leaving the list', () => {
  it.each([['escape'], ['ctrl+c'], ['ctrl+d']] as const)(
    'by %s leaves the chat unchanged, with the line begun before Ctrl+X L',
    async (key) => {
      await using place = await makePlace();
      await say(place, 'about apples');
      await using chat = await open(place);
      await answered(chat, 'hello');
      chat.type('half a li');
      await chat.waitFor(/half a li/);
      chat.type(`${CTRL_X}l`);
      await chat.waitFor(/resume which session\?.*to search/s);
      chat.type('appl');
      await chat.waitFor(/\(1 match\)/);
      chat.key(key);
      await chat.waitFor(/» half a li$/);
      chat.enter('ne');
      await chat.waitFor(/echo: half a line/);
      await chat.waitFor(/» /);
      await quit(chat);
      expect(await conversations(place)).toEqual([
        ['user: hello', 'assistant: echo: hello', 'user: half a line', 'assistant: echo: half a line'],
        ['user: about apples', 'assistant: echo: about apples'],
      ]);
    },
  );

  it('by Ctrl+C does not count as the first of two Ctrl+C that quit', async () => {
    await using place = await makePlace();
    await say(place, 'about apples');
    await using chat = await open(place);
    chat.enter('/resume');
    await chat.waitFor(/to search/);
    chat.key('ctrl+c');
    await chat.waitFor(/» $/);
    chat.key('ctrl+c');
    await chat.waitFor(/press ctrl\+c again to save and quit/);
    await chat.waitFor(/» $/);
    await answered(chat, 'still here');
    await quit(chat);
  });
});

describe('the end while the list is open', () => {
  it.each([
    ['a closed terminal', (chat: Terminal) => chat.hangUp(), 'SIGHUP'],
    ['SIGTERM', (chat: Terminal) => chat.kill('SIGTERM'), 'SIGTERM'],
  ] as const)('by %s saves, and the parent sees it', async (_, end, signal) => {
    await using place = await makePlace();
    await using chat = await open(place);
    await answered(chat, 'hello');
    chat.type('never sent');
    await chat.waitFor(/never sent/);
    chat.type(`${CTRL_X}l`);
    await chat.waitFor(/to search/);
    expect(chat.raw().lastIndexOf(HIDE)).toBeGreaterThan(chat.raw().lastIndexOf(SHOW));
    end(chat);
    expect(await chat.exit).toEqual({ code: null, signal });
    if (signal === 'SIGTERM') expect(chat.raw().lastIndexOf(SHOW)).toBeGreaterThan(chat.raw().lastIndexOf(HIDE));
    const exported = await place.exported('1');
    expect(conversation(exported)).toEqual(['user: hello', 'assistant: echo: hello']);
    const statuses = exported.events.filter(({ type }) => type === 'status').map(({ status }) => status);
    expect(statuses.at(-1)).not.toBe('running');
  });
});

/** Holds a conversation for each text, one after the other. */
async function say(place: Place, ...texts: readonly string[]): Promise<void> {
  for (const input of texts) expect((await place.run(['--model', 'demo/echo'], { input: `${input}\n` })).code).toBe(0);
}

async function open(place: Place): Promise<Terminal> {
  const chat = place.terminal(['--model', 'demo/echo']);
  await chat.waitFor(/» /);
  return chat;
}

async function answered(chat: Terminal, text: string): Promise<void> {
  chat.enter(text);
  await chat.waitFor(new RegExp(`echo: ${text}`));
  await chat.waitFor(/» /);
}

async function quit(chat: Terminal): Promise<void> {
  chat.enter('/exit');
  expect(await chat.exit).toEqual({ code: 0, signal: null });
}

async function conversations(place: Place): Promise<string[][]> {
  const listed = await place.listed();
  const all: string[][] = [];
  for (const { number } of listed) all.push(conversation(await place.exported(String(number))));
  return all;
}
