import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { unpackSegment } from '../../../src/envelope/segment.ts';
import { holdersOf, redactionOf, redactSession } from '../../../src/session/change/redact.ts';
import { type Event, encodeEvents, type NewEvent } from '../../../src/session/event/event.ts';
import { readLines } from '../../../src/session/event/lines.ts';
import type { Session } from '../../../src/session/session.ts';
import { emptyState, fold } from '../../../src/session/state.ts';
import { openSealedFile } from '../../../src/vault/file/open.ts';
import { begin, type Home, home, reply, texts, user } from '../../support/vault.ts';

const SECRET = 'sk-live-0123456789';

/** One event of every type, with the secret in every free-form string. */
const everywhere: readonly NewEvent[] = [
  {
    type: 'begin',
    uuid: '6b0c2f5e-0000-4000-8000-000000000001',
    directory: `/work/${SECRET}`,
    branch: SECRET,
    worktree: `/tree/${SECRET}`,
    project: { first: SECRET, remote: `https://x:${SECRET}@host/`, path: SECRET },
    parent: { uuid: '6b0c2f5e-0000-4000-8000-000000000002', id: `2025-07-04_12-30_${SECRET}`, reason: SECRET },
  },
  user(`the key is ${SECRET}, yes ${SECRET}`),
  { type: 'message', message: { role: 'system', content: SECRET } },
  {
    type: 'message',
    message: {
      role: 'user',
      content: [
        { type: 'text', text: SECRET },
        { type: 'file', mediaType: 'text/plain', data: SECRET, filename: `${SECRET}.txt` },
      ],
    },
  },
  {
    type: 'message',
    model: `demo/${SECRET}`,
    message: {
      role: 'assistant',
      content: [
        { type: 'reasoning', text: SECRET },
        {
          type: 'tool-call',
          toolCallId: `call_${SECRET}`,
          toolName: SECRET,
          input: { [SECRET]: [SECRET, { a: SECRET }] },
        },
      ],
    },
  },
  {
    type: 'message',
    message: {
      role: 'tool',
      content: [
        { type: 'tool-result', toolCallId: SECRET, toolName: 'read', output: { type: 'text', value: SECRET } },
        {
          type: 'tool-result',
          toolCallId: 'b',
          toolName: 'read',
          output: { type: 'json', value: { [SECRET]: SECRET } },
        },
        { type: 'tool-result', toolCallId: 'c', toolName: 'read', output: SECRET },
        {
          type: 'tool-result',
          toolCallId: 'd',
          toolName: 'read',
          output: { type: 'content', value: [{ type: 'text', text: SECRET }], [SECRET]: SECRET },
        },
      ],
    },
  },
  { type: 'usage', model: SECRET, usage: { inputTokens: 1, outputTokens: 1, cost: null } },
  { type: 'model', model: `demo/${SECRET}` },
  { type: 'name', name: SECRET },
  { type: 'tags', tags: [SECRET, 'other'] },
  { type: 'status', status: 'failed', reason: SECRET },
  { type: 'error', code: 'MODEL_FAILED', message: SECRET },
  { type: 'tool-start', toolCallId: SECRET, toolName: 'read' },
  { type: 'tool-end', toolCallId: SECRET, toolName: 'read', outcome: 'completed', bytes: 3 },
  { type: 'approval-asked', toolCallId: 'c', rule: `command:echo ${SECRET}`, about: SECRET },
  { type: 'approval-answered', toolCallId: 'c', rule: `command:${SECRET}`, answer: 'session', by: 'person' },
  { type: 'permission', rule: `command:${SECRET}`, decision: 'allow' },
  { type: 'compaction', summary: SECRET, through: 3, model: SECRET },
  { type: 'instructions', source: 'system', text: SECRET, path: `/work/${SECRET}.md` },
  { type: 'instructions', source: 'agents', text: SECRET, path: SECRET, offered: true },
  { type: 'move', directory: `/work/${SECRET}`, branch: SECRET, project: { first: SECRET, path: SECRET } },
  { type: 'child', uuid: '6b0c2f5e-0000-4000-8000-000000000003', reason: SECRET },
  { type: 'from-later', [SECRET]: { deep: [SECRET] } } as unknown as NewEvent,
];

function numbered(events: readonly NewEvent[]): Event[] {
  return events.map((event, at): Event => ({ id: at + 1, ts: 1000, ...event }));
}

/** Encodes events and reads them back. */
function throughTheFile(events: readonly Event[]): Event[] {
  return readLines(encodeEvents(events));
}

describe('a redaction', () => {
  it('removes the text from every string of every type of event, and leaves valid events', () => {
    const events = numbered(everywhere);
    const { events: after, changed } = redactionOf(SECRET).redact(events);
    expect(changed).toBe(events.length);
    expect(JSON.stringify(after)).not.toContain(SECRET);
    expect(throughTheFile(after)).toEqual(after);
    expect(after.map(({ type, id, ts }) => [type, id, ts])).toEqual(events.map(({ type, id, ts }) => [type, id, ts]));
    expect(after[1]).toMatchObject({ message: { content: 'the key is [redacted], yes [redacted]' } });
    expect(redactionOf(SECRET).isIn(events)).toBe(true);
    expect(redactionOf(SECRET).isIn(after)).toBe(false);
  });

  it('leaves events without the text unchanged', () => {
    const events = numbered([user('nothing of it'), ...everywhere]);
    const { events: after } = redactionOf(SECRET).redact(events);
    expect(after[0]).toBe(events[0]);
    expect(redactionOf('not in there').redact(events)).toEqual({ events, changed: 0 });
  });

  it('finds the text in a recorded string that is itself JSON', () => {
    const text = 'a "quoted" pass\\word';
    const events = numbered([user(JSON.stringify({ password: text }))]);
    const { events: after, changed } = redactionOf(text).redact(events);
    expect(changed).toBe(1);
    expect(after[0]).toMatchObject({ message: { content: '{"password":"[redacted]"}' } });
  });

  it('removes the text from an attached file, which is base64', () => {
    const fileOf = (data: string | Buffer, mediaType = 'text/plain'): NewEvent => {
      const file = { type: 'file', mediaType, data: Buffer.from(data).toString('base64') } as const;
      return { type: 'message', message: { role: 'user', content: [{ type: 'text', text: 'see' }, file] } };
    };
    const pdf = Buffer.concat([Buffer.from(`%PDF-1.7 (${SECRET})`), Buffer.of(0xff, 0)]);
    const events = numbered([
      fileOf(`key=${SECRET}\n`),
      fileOf(pdf, 'application/pdf'),
      fileOf('nothing of it'),
      fileOf(Buffer.of(0xff, 0), 'image/png'),
    ]);
    const redaction = redactionOf(SECRET);
    const { events: after, changed } = redaction.redact(events);
    expect(changed).toBe(2);
    expect(after[0]).toEqual({ id: 1, ts: 1000, ...fileOf('key=[redacted]\n') });
    expect(after[1]).toEqual({ id: 2, ts: 1000, ...fileOf('[redacted]', 'application/pdf') });
    expect(after.slice(2)).toEqual(events.slice(2));
    expect([redaction.isIn(events), redaction.isIn(after)]).toEqual([true, false]);
  });

  it('removes a text of several lines as a whole and line by line', () => {
    const lines = ['-----BEGIN KEY-----', 'MIIEowIBAAKC', 'AQEAz5', 'a=', '-----END KEY-----'];
    const { redact } = redactionOf(`${lines.join('\r\n')}\r\n`);
    const said = [lines.join('\r\n'), lines.map((line) => `  ${line}`).join('\n'), 'AQEAz5', 'a= b', 'END'];
    const { events: after, changed } = redact(numbered(said.map(user)));
    expect(texts({ state: fold(emptyState, after) })).toEqual([
      '[redacted]',
      '  [redacted]\n  [redacted]\n  [redacted]\n  a=\n  [redacted]',
      '[redacted]',
      'a= b',
      'END',
    ]);
    expect(changed).toBe(3);
    expect(() => redactionOf('a\nb')).toThrow('at least 4 characters');
    expect(() => redactionOf('fine\nredacted')).toThrow('the mark that replaces');
  });

  it('finds the text in a number passed to a tool', () => {
    const call: NewEvent = {
      type: 'message',
      message: {
        role: 'assistant',
        content: [{ type: 'tool-call', toolCallId: 'c', toolName: 'pay', input: { card: 4111111111111111, sum: 3 } }],
      },
    };
    const { events: after } = redactionOf('4111111111111111').redact(numbered([call]));
    expect(JSON.stringify(after)).toContain('{"card":"[redacted]","sum":3}');
  });

  it.each([
    'system',
    'user',
    'assistant',
    'text',
    'tool-call',
    'content',
    'message',
    'failed',
    'session',
    'json',
    'value',
    '0000',
  ])('of %s, a word of the schema, leaves a readable record', (word) => {
    const events = numbered(everywhere);
    const { events: after } = redactionOf(word).redact(events);
    expect(throughTheFile(after)).toEqual(after);
    const [state, before] = [fold(emptyState, after), fold(emptyState, events)];
    expect(state).toMatchObject({ messageCount: before.messageCount, status: before.status, uuid: before.uuid });
    expect(state.messages.map(({ role }) => role)).toEqual(before.messages.map(({ role }) => role));
  });

  it.each(['', 'a', 'abc', '🦊🦊🦊'])('rejects %j, which is too short', (text) => {
    expect(() => redactionOf(text)).toThrow('at least 4 characters');
  });

  it.each(['redacted', '[redacted]', 'edact'])('rejects %s, a part of the mark', (text) => {
    expect(() => redactionOf(text)).toThrow('the mark that replaces');
  });

  it('terminates if the mark forms the text again', () => {
    for (const [text, content] of [
      [']zzz', ']zzzzzzzzz'],
      ['d][r', 'd][rd][rd][r'],
      ['[red', 'x[red[red[red'],
      ['xx[red', 'xxxx[redxx[red'],
    ] as const) {
      if ('[redacted]'.includes(text)) continue;
      const { events: after } = redactionOf(text).redact(numbered([user(content)]));
      expect(texts({ state: fold(emptyState, after) })[0]).not.toContain(text);
    }
  });

  it('removes no more of a string than necessary, and all of it after too many passes', () => {
    const redacted = (content: string): unknown => {
      const { events } = redactionOf('[[redacted]').redact(numbered([user(content)]));
      return texts({ state: fold(emptyState, events) })[0];
    };
    expect(redacted('[[[redacted] and the rest')).toBe('[redacted] and the rest');
    expect(redacted(`${'['.repeat(30)}redacted] and the rest`)).toBe('[redacted]');
  });

  it('removes any text from any string', () => {
    const piece = fc.constantFrom('[', ']', 'r', 'e', 'd', 'acted', '"', '\\', '🦊', 'ab');
    const text = fc.array(piece, { minLength: 4, maxLength: 6 }).map((pieces) => pieces.join(''));
    const property = fc.property(text, fc.array(text, { maxLength: 5 }), (secret, around) => {
      fc.pre(!'[redacted]'.includes(secret));
      const content = around.join(secret);
      const { events: after } = redactionOf(secret).redact(numbered([user(content), { type: 'name', name: content }]));
      expect(texts({ state: fold(emptyState, after) })[0]).not.toContain(secret);
      expect(throughTheFile(after)).toEqual(after);
    });
    fc.assert(property, { numRuns: 2000 });
  });
});

describe('redacting a session', () => {
  it('leaves nothing in a large file, and writes one new generation', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(`first ${SECRET}`));
    for (let step = 0; step < 14; step++) {
      const filler = randomBytes(768 * 1024).toString('base64');
      await session.append(user(filler), reply(`${filler.slice(0, 1000)} ${SECRET}`));
    }
    const key = await keyOf(at);
    const before = openSealedFile(at.path(session.fileId!), session.fileId!, key);
    expect(before.laterFrames).toBeGreaterThan(0);
    expect(statSync(at.path(session.fileId!)).size).toBeGreaterThan(10 * 1024 * 1024);
    expect(linesOf(at, session, key)).toContain(SECRET);

    expect(await redactSession(session, redactionOf(SECRET))).toBe(15);
    const after = openSealedFile(at.path(session.fileId!), session.fileId!, key);
    expect(after.header.generation).toBe(before.header.generation + 1n);
    expect(after.laterFrames).toBe(0);
    const lines = linesOf(at, session, key);
    expect(lines).not.toContain(SECRET);
    expect(lines).toContain('first [redacted]');
    expect(after.summary.toString()).toContain('first [redacted]');

    await session.append(user('it goes on'));
    await session.close();
    const recorded = await sessions.read(await sessions.find('last'));
    expect(texts(recorded)).toHaveLength(30);
    expect(JSON.stringify(recorded.events)).not.toContain(SECRET);
  });

  it('keeps events appended while it waits for an earlier save, and is not overtaken by a save', async () => {
    await using sessions = await home().open();
    await using session = begin(sessions);
    await session.append(user('sesame-open'));
    const saves = [session.append(user('before')), redactSession(session, redactionOf('sesame-open'))];
    saves.push(session.append(user('meanwhile')), session.append(user('after')));
    await Promise.all(saves);
    const { state } = await sessions.read(await sessions.find('last'));
    expect(texts({ state })).toEqual(['[redacted]', 'before', 'meanwhile', 'after']);
    expect(texts(session)).toEqual(texts({ state }));
  });

  it('saves a record whose begin event has an arbitrary uuid', async () => {
    await using sessions = await home().open();
    await using session = begin(sessions);
    await session.append(user('one'));
    const uuid = 'u'.repeat(20_000);
    await session.rewrite(session.events.map((event) => (event.type === 'begin' ? { ...event, uuid } : event)));
    await session.append(user('two'));
    expect((await sessions.read(await sessions.find('last'))).state).toMatchObject({ uuid, messageCount: 2 });
  });

  it('writes nothing if the text is not found', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('hello'));
    const before = readFileSync(at.path(session.fileId!));
    expect(await redactSession(session, redactionOf(SECRET))).toBe(0);
    expect(readFileSync(at.path(session.fileId!))).toEqual(before);
  });

  it('is reported if it can not be saved, and is part of the next save', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(`the key is ${SECRET}`));
    const folder = join(at.directory, 'sessions');
    renameSync(folder, `${folder} gone`);
    await expect(redactSession(session, redactionOf(SECRET))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    expect(session.unsaved).toBeDefined();
    renameSync(`${folder} gone`, folder);
    const key = await keyOf(at);
    expect(linesOf(at, session, key)).toContain(SECRET);
    await session.append(reply('noted'));
    expect(session.unsaved).toBeUndefined();
    const lines = linesOf(at, session, key);
    expect(lines).not.toContain(SECRET);
    expect(lines).toContain('the key is [redacted]');
    expect(lines).toContain('noted');
  });

  it('names the other files that contain the text', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(`the key is ${SECRET}`));
    const snapshot = await session.save('before');
    await session.save(`named ${SECRET}`);
    const other = begin(sessions);
    await other.append(user('nothing of it'));
    await redactSession(session, redactionOf(SECRET));
    const named = await session.save(`clean but for ${SECRET}`);
    const { rows, unknown } = await holdersOf(sessions, redactionOf(SECRET), session);
    expect(rows.map(({ id }) => id)).toContain(snapshot.id);
    expect(rows.map(({ id }) => id)).toContain(named.id);
    expect(rows).toHaveLength(3);
    expect(unknown).toEqual([]);
  });
});

async function keyOf(at: Home): Promise<VaultKey> {
  const { key } = JSON.parse(readFileSync(`${at.directory}/vault.json`, 'utf8'));
  const found = await at.keyring.get(key);
  if (found.outcome !== 'READY') throw new Error('the key is gone');
  return VaultKey.from(found.secret);
}

/** Returns the plaintext of all frames of the file. */
function linesOf(at: Home, session: Session, key: VaultKey): string {
  const { segments } = openSealedFile(at.path(session.fileId!), session.fileId!, key);
  return segments.map((segment) => unpackSegment(segment).toString()).join('');
}
