import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { aboutOf, renderExport } from '../../../src/cli/commands/export/export-text.ts';
import { redactionOf, redactSession } from '../../../src/session/change/redact.ts';
import type { Event, NewEvent } from '../../../src/session/event/event.ts';
import type { Row } from '../../../src/session/list/row.ts';
import type { Session } from '../../../src/session/session.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import { begin, crashed, type Home, home, user } from '../../support/vault.ts';

const SECRET = 'sesame-open';

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('', SECRET, `a "${SECRET}"\n`, '\ud800', 'x'.repeat(40_000), '\u0000'.repeat(300)),
);
const deep = fc.integer({ min: 1, max: 980 }).map((depth) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)));
const json = fc.oneof(fc.jsonValue(), deep, text, fc.constant(JSON.parse('{"__proto__":{"a":1}}')));
const count = fc.oneof(fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER));
const call = { toolCallId: text, toolName: text };
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 90 })
  .map((said) => `n${said.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')}`);

const accepted: fc.Arbitrary<NewEvent> = fc.oneof(
  text.map(user),
  text.map((content): NewEvent => ({ type: 'message', message: { role: 'system', content } })),
  fc.record({ text, input: json, ...call, data: text, partial: fc.constantFrom(true, undefined) }).map(
    ({ text, data, partial, ...called }): NewEvent => ({
      type: 'message',
      partial,
      message: {
        role: 'assistant',
        content: [
          { type: 'reasoning', text },
          { type: 'text', text },
          { type: 'file', mediaType: 'x/y', data },
          { type: 'tool-call', ...called },
        ],
      },
    }),
  ),
  fc.record({ output: json, ...call }).map(
    (result): NewEvent => ({
      type: 'message',
      message: { role: 'tool', content: [{ type: 'tool-result', ...result }] },
    }),
  ),
  fc
    .record({ inputTokens: fc.option(count), outputTokens: fc.option(count), cost: fc.option(count) })
    .map((usage): NewEvent => ({ type: 'usage', model: 'demo/echo', usage })),
  name.map((name): NewEvent => ({ type: 'name', name })),
  fc.array(name, { maxLength: 5 }).map((tags): NewEvent => ({ type: 'tags', tags })),
  fc.record({ code: text, message: text }).map((fault): NewEvent => ({ type: 'error', ...fault })),
  text.map((summary): NewEvent => ({ type: 'compaction', summary, through: 0, model: 'demo/echo' })),
  text.map((reason): NewEvent => ({ type: 'status', status: 'failed', reason })),
  fc
    .record({ rule: text, decision: fc.constantFrom('allow', 'deny', 'revoke') })
    .map((rule): NewEvent => ({ type: 'permission', ...(rule as { rule: string; decision: 'allow' }) })),
);

/** One operation on a session; each must leave every accepted event unchanged. */
const happening = fc.oneof(
  { arbitrary: fc.array(accepted, { minLength: 1, maxLength: 4 }).map((events) => ({ events })), weight: 6 },
  ...['draft', 'close', 'crash', 'fold', 'fork', 'snapshot', 'redact', 'move'].map((name) => fc.constant(name)),
);

class Story {
  at: Home = home();
  sessions: Sessions | undefined;
  session: Session | undefined;
  said: object[] = [];
  #count = 0;

  async begin(): Promise<void> {
    this.sessions = await this.at.open();
    this.session = begin(this.sessions);
    await this.tell([user('the first prompt')]);
  }

  /** Appends events, each marked to tell it from those that coffer records itself. */
  async tell(events: readonly NewEvent[]): Promise<void> {
    const marked = events.map((event) => ({ ...event, mark: this.#count++ }));
    await this.session?.append(...marked);
    this.said.push(...marked);
  }

  async happen(what: string): Promise<void> {
    const { session, sessions } = this;
    if (session === undefined || sessions === undefined) return;
    if (what === 'draft') {
      session.draft = { type: 'message', message: { role: 'assistant', content: 'half of' }, partial: true };
      await session.saveDraft();
      session.draft = undefined;
    }
    if (what === 'close') await this.#reopen(this.at, await this.#row());
    if (what === 'crash') await this.#reopen(crashed(this.at), await this.#row());
    if (what === 'fold') {
      await this.tell([user('y'.repeat(100_000))]);
      await this.#reopen(this.at, await this.#row());
    }
    if (what === 'fork') this.session = await sessions.fork(await this.#row());
    if (what === 'snapshot') {
      const { id } = await session.save();
      this.session = await sessions.resume(await sessions.find(id));
    }
    if (what === 'redact') {
      const redaction = redactionOf(SECRET);
      await redactSession(session, redaction);
      const placed = this.said.map((event, index) => ({ id: index + 1, ts: 1, ...event }) as Event);
      this.said = redaction.redact(placed).events.map(({ id: _, ts: __, ...event }) => event);
    }
    if (what === 'move') {
      const { row, events, state } = await sessions.read(await this.#row());
      const { id } = await sessions.upkeep.import(
        [...renderExport({ about: aboutOf(state, row), events }, 'jsonl')].join(''),
        'x',
      );
      this.session = await sessions.resume(await sessions.find(id));
    }
    // A new session gets its file with its first step.
    if (this.session !== session) await this.tell([user('on')]);
  }

  async check(): Promise<void> {
    const { events } = await this.sessions!.read(await this.#row());
    expect(events.some(({ type }) => type === 'unknown')).toBe(false);
    const marked = events.filter((event) => 'mark' in event).map(({ id: _, ts: __, ...event }) => event);
    expect(isDeepStrictEqual(JSON.parse(JSON.stringify(marked)), JSON.parse(JSON.stringify(this.said)))).toBe(true);
  }

  async #row(): Promise<Row> {
    return this.sessions!.find(this.session!.uuid);
  }

  async #reopen(at: Home, row: Row): Promise<void> {
    if (at === this.at) await this.sessions?.close();
    this.at = at;
    this.sessions = await at.open();
    this.session = await this.sessions.resume(row);
  }
}

it('reads back every accepted event after any sequence of operations', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { minLength: 1, maxLength: 12 }), async (happenings) => {
      const story = new Story();
      await story.begin();
      for (const one of happenings) {
        if (typeof one === 'string') await story.happen(one);
        else await story.tell(one.events);
      }
      await story.check();
      await story.sessions?.close();
    }),
    { numRuns: 60 },
  );
});
