import { describe, expect, it } from 'vitest';
import type { Live, LiveEvent } from '../../src/live/live.ts';
import type { Question } from '../../src/live/question.ts';

/** A model of a session under test. */
export type SuiteModel =
  /** Replies `echo: PROMPT`. */
  | 'echo'
  /** Runs each line as a command: `write FILE TEXT` calls a tool that needs approval. */
  | 'tools'
  /** Sends `part 1 `, then waits for {@link Subject.release}, then sends `part 2`. */
  | 'slow';

/** A live session under test. */
export interface Subject extends AsyncDisposable {
  readonly live: Live;
  /** Lets the slow model finish its current reply, and later ones without waiting. */
  release(): void;
  /** Makes saves fail until the returned function is called. */
  failSaves(): () => void;
  /** Crashes the session with a fault of the hosting program, while the model is replying. */
  crash(): Promise<void>;
  /** Reads the texts of the conversation from disk, as another process would. */
  onDisk(): Promise<string[]>;
}

/** Begins a blank session. `attended`: whether a client can answer questions. */
export type SetUp = (options: { readonly model: SuiteModel; readonly attended: boolean }) => Promise<Subject>;

/** Tests the contract of {@link Live}, which every implementation must pass. */
export function liveSuite(name: string, setUp: SetUp): void {
  const begin = (model: SuiteModel = 'echo', attended = true): Promise<Subject> => setUp({ model, attended });

  describe(`${name}: events`, () => {
    it('come in order: the prompt, the reply as it arrives, the recorded reply, and idle', async () => {
      await using subject = await begin();
      const client = new Client(subject.live);
      await prompt(subject.live, 'hello');
      await client.until((event) => event.type === 'idle');
      expect(outline(client.events)).toEqual(['user: hello', 'delta', 'assistant: echo: hello', 'idle completed']);
      expect(deltas(client.events)).toBe('echo: hello');
    });

    it('have the prompt on disk when its command resolves, and the reply when it is published', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      await prompt(subject.live, 'hello');
      expect(await subject.onDisk()).toEqual(['hello']);
      subject.release();
      await client.until((event) => event.type === 'idle');
      expect(await subject.onDisk()).toEqual(['hello', 'part 1 part 2']);
      expect(client.events.every((event) => event.type !== 'recorded' || event.durable)).toBe(true);
    });

    it('are replayed from any recorded event, and continue without a gap', async () => {
      await using subject = await begin();
      const first = new Client(subject.live, 0);
      await answered(subject.live, 'one', first);
      const [, second] = recorded(first.events);
      const again = new Client(subject.live, second);
      await answered(subject.live, 'two', again);
      await first.until(idles(2));
      const all = recorded(first.events);
      expect(all).toEqual([...all].sort((a, b) => a - b));
      expect(new Set(all).size).toBe(all.length);
      expect(recorded(again.events)).toEqual(all.filter((id) => id > (second ?? 0)));
      expect((await subject.live.snapshot()).lastEvent).toBe(all.at(-1));
    });

    it('are the same for two clients', async () => {
      await using subject = await begin('tools');
      const [one, other] = [new Client(subject.live), new Client(subject.live)];
      await answered(subject.live, 'list', one);
      await answered(subject.live, 'nothing to do', one);
      await other.until(idles(2));
      expect(outline(other.events)).toEqual(outline(one.events));
    });

    it('do not wait for a client that never reads: it gets `lagged`, and every recorded event', async () => {
      await using subject = await begin('tools');
      const sleeper = subject.live.events(0);
      const client = new Client(subject.live, 0);
      for (let turn = 1; turn <= 80; turn++) await answered(subject.live, 'list\nlist', client, turn);
      const events: LiveEvent[] = [];
      for await (const event of sleeper) {
        events.push(event);
        if (recorded(events).length === recorded(client.events).length) break;
      }
      expect(events.filter(({ type }) => type === 'lagged').length).toBe(1);
      expect(recorded(events)).toEqual(recorded(client.events));
    });

    it('end for a client that leaves, and continue for the others', async () => {
      await using subject = await begin();
      const leave = new AbortController();
      const leaver = new Client(subject.live, undefined, leave.signal);
      const client = new Client(subject.live);
      leave.abort();
      await leaver.ended;
      await answered(subject.live, 'hello', client);
      expect(leaver.events).toEqual([]);
    });
  });

  describe(`${name}: a snapshot`, () => {
    it('has the reply so far, and later deltas continue it', async () => {
      await using subject = await begin('slow');
      const early = new Client(subject.live);
      await prompt(subject.live, 'hello');
      await early.until((event) => event.type === 'delta');
      const snapshot = await subject.live.snapshot();
      expect(snapshot).toMatchObject({ running: true, reply: 'part 1 ', kept: 'sealed', unsaved: undefined });
      const late = new Client(subject.live, snapshot.lastEvent);
      subject.release();
      await late.until((event) => event.type === 'idle');
      expect(snapshot.reply + deltas(late.events)).toBe('part 1 part 2');
      expect(await subject.live.snapshot()).toMatchObject({ running: false, reply: '', queued: 0 });
    });
  });

  describe(`${name}: a question`, () => {
    it('is answered once: the first answer wins, and later ones are rejected', async () => {
      await using subject = await begin('tools');
      const client = new Client(subject.live);
      const question = await asked(subject.live, client, 'write a.txt words');
      expect((await subject.live.snapshot()).questions).toEqual([question]);
      const { ask } = question;
      const answers = await Promise.allSettled([
        subject.live.send({ type: 'ApproveToolCall', ask, scope: 'once' }),
        subject.live.send({ type: 'DenyToolCall', ask, scope: 'once' }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
      expect(answers[1]).toMatchObject({ reason: { code: 'NO_ASK' } });
      await client.until((event) => event.type === 'idle');
      expect(client.events).toContainEqual({ type: 'ask-over', ask, answer: 'once' });
      expect(client.events).toContainEqual(expect.objectContaining({ type: 'call-end', outcome: 'completed' }));
      expect((await subject.live.snapshot()).questions).toEqual([]);
    });

    it('is keyed by the event that recorded it', async () => {
      await using subject = await begin('tools');
      const client = new Client(subject.live);
      const { ask } = await asked(subject.live, client, 'write a.txt words');
      const events = client.events.flatMap((event) => (event.type === 'recorded' ? [event.event] : []));
      expect(events.find(({ id }) => id === ask)).toMatchObject({ type: 'approval-asked' });
    });

    it('stays open until it gets a valid answer', async () => {
      await using subject = await begin('tools');
      const client = new Client(subject.live);
      const { ask } = await asked(subject.live, client, 'write a.txt words');
      await expect(subject.live.send({ type: 'AnswerQuestion', ask, answer: 'maybe' })).rejects.toMatchObject({
        code: 'USAGE',
      });
      await expect(subject.live.send({ type: 'AnswerQuestion', ask: ask + 1, answer: 'once' })).rejects.toMatchObject({
        code: 'NO_ASK',
      });
      await subject.live.send({ type: 'DenyToolCall', ask, scope: 'session' });
      await client.until((event) => event.type === 'idle');
      expect(client.events).toContainEqual(expect.objectContaining({ type: 'call-end', outcome: 'denied' }));
      await answered(subject.live, 'write a.txt words', client, 2);
      expect(client.events.filter(({ type }) => type === 'ask').length).toBe(1);
    });

    it('is over without an answer if the turn is cancelled', async () => {
      await using subject = await begin('tools');
      const client = new Client(subject.live);
      const { ask } = await asked(subject.live, client, 'write a.txt words');
      await subject.live.send({ type: 'Cancel' });
      await client.until((event) => event.type === 'idle');
      expect(client.events).toContainEqual({ type: 'ask-over', ask, answer: undefined });
      expect(client.events.at(-1)).toMatchObject({ type: 'idle', outcome: 'cancelled' });
    });

    it('is not asked if no client can answer: the call is denied as unattended', async () => {
      await using subject = await begin('tools', false);
      const client = new Client(subject.live);
      await answered(subject.live, 'write a.txt words', client);
      expect(client.events.some(({ type }) => type === 'ask')).toBe(false);
      expect(client.events).toContainEqual(
        expect.objectContaining({ type: 'call-end', outcome: 'denied', unattended: true }),
      );
    });
  });

  describe(`${name}: cancelling`, () => {
    it('keeps the part of the reply that arrived, and answers the next prompt', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      await prompt(subject.live, 'hello');
      await client.until((event) => event.type === 'delta');
      await subject.live.send({ type: 'Cancel' });
      await client.until((event) => event.type === 'idle');
      expect(client.events.at(-1)).toMatchObject({ outcome: 'cancelled', text: true });
      expect(await subject.onDisk()).toEqual(['hello', 'part 1 ']);
      subject.release();
      await answered(subject.live, 'again', client, 2);
      expect(await subject.onDisk()).toEqual(['hello', 'part 1 ', 'again', 'part 1 part 2']);
    });

    it('is rejected if nothing is running', async () => {
      await using subject = await begin();
      await expect(subject.live.send({ type: 'Cancel' })).rejects.toMatchObject({ code: 'NOTHING_RUNS' });
    });
  });

  describe(`${name}: prompts`, () => {
    it('wait for the running turn, are answered in order, and each end with their own `idle`', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      const sent = ['one', 'two', 'three'].map((text) => prompt(subject.live, text));
      await sent[0];
      expect((await subject.live.snapshot()).queued).toBe(2);
      subject.release();
      await Promise.all(sent);
      await client.until(idles(3));
      const ends = client.events.flatMap((event) => (event.type === 'idle' ? [event.tag] : []));
      expect(ends).toEqual(['one', 'two', 'three']);
      expect((await subject.onDisk()).filter((_, at) => at % 2 === 0)).toEqual(['one', 'two', 'three']);
    });

    it('are rejected once ten are queued', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      const sent = Array.from({ length: 11 }, (_, at) => prompt(subject.live, `${at}`));
      await expect(prompt(subject.live, 'one too many')).rejects.toMatchObject({ code: 'QUEUE_FULL' });
      subject.release();
      await Promise.all(sent);
      await client.until(idles(12));
      expect(client.events).toContainEqual(
        expect.objectContaining({ type: 'idle', tag: 'one too many', outcome: 'unsent' }),
      );
    });

    it("are not sent if a file they name can't be attached", async () => {
      await using subject = await begin('echo', false);
      const client = new Client(subject.live);
      await expect(prompt(subject.live, 'look at @/etc/hostname')).rejects.toMatchObject({ code: 'FAILED' });
      await client.until((event) => event.type === 'idle');
      expect(client.events.at(-1)).toMatchObject({ outcome: 'unsent', error: { code: 'FAILED' } });
      await answered(subject.live, 'hello', client, 2);
      expect(await subject.onDisk()).toEqual(['hello', 'echo: hello']);
    });

    it('prevent changes to the record while they are answered', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      await prompt(subject.live, 'hello');
      await expect(subject.live.send({ type: 'Rewind' })).rejects.toMatchObject({ code: 'FAILED' });
      subject.release();
      await client.until((event) => event.type === 'idle');
      expect(await subject.live.send({ type: 'Rewind' })).toMatchObject({ prompts: 0, of: 1 });
    });
  });

  describe(`${name}: failing saves`, () => {
    it('are visible to every client until the next save succeeds', async () => {
      await using subject = await begin();
      const client = new Client(subject.live);
      await answered(subject.live, 'one', client);
      const mend = subject.failSaves();
      await answered(subject.live, 'two', client, 2);
      const { unsaved } = await subject.live.snapshot();
      expect(unsaved).toMatchObject({ messages: 2, error: { code: 'NOT_SAVED' } });
      const lost = client.events.filter((event) => event.type === 'recorded' && !event.durable);
      expect(outline(lost)).toEqual(['user: two', 'assistant: echo: two']);
      mend();
      await answered(subject.live, 'three', client, 3);
      expect((await subject.live.snapshot()).unsaved).toBeUndefined();
      expect((await subject.onDisk()).length).toBe(6);
    });
  });

  describe(`${name}: commands`, () => {
    it('change how the session is listed', async () => {
      await using subject = await begin();
      const client = new Client(subject.live);
      await answered(subject.live, 'hello', client);
      const named = { kind: 'rename', name: 'a name' } as const;
      expect(await subject.live.send({ type: 'Mark', mark: named })).toMatchObject({ changed: true });
      expect(await subject.live.send({ type: 'Mark', mark: named })).toMatchObject({ changed: false });
      expect((await subject.live.snapshot()).state.name).toBe('a name');
    });

    it('choose a model, and write nothing if nothing was said yet', async () => {
      await using subject = await begin();
      const chosen = { type: 'ChooseModel', model: 'demo/eliza' } as const;
      expect(await subject.live.send(chosen)).toEqual({ model: 'demo/eliza' });
      expect(await subject.live.snapshot()).toMatchObject({ model: 'demo/eliza', fileId: undefined });
      await answered(subject.live, 'hello', new Client(subject.live));
      expect((await subject.live.snapshot()).state.model).toBe('demo/eliza');
      await subject.live.send({ type: 'ChooseModel', model: 'demo/echo' });
      expect((await subject.live.snapshot()).state.model).toBe('demo/echo');
    });

    it('take a named snapshot', async () => {
      await using subject = await begin();
      await answered(subject.live, 'hello', new Client(subject.live));
      expect(await subject.live.send({ type: 'Save', name: 'done' })).toMatchObject({
        id: expect.stringMatching(/_done$/),
        messages: 2,
      });
    });

    it('redact a text, and notify every client that the record changed', async () => {
      await using subject = await begin();
      const client = new Client(subject.live);
      await answered(subject.live, 'the secret is out', client);
      expect(await subject.live.send({ type: 'Redact', text: 'secret' })).toMatchObject({ changed: 2 });
      await client.until((event) => event.type === 'rewritten');
      expect((await subject.onDisk()).join()).not.toContain('secret');
    });

    it('set and revoke permissions', async () => {
      await using subject = await begin();
      await answered(subject.live, 'hello', new Client(subject.live));
      const allow = { type: 'SetPermission', decision: 'allow', rule: 'write' } as const;
      expect(await subject.live.send(allow)).toEqual({ rule: 'write', already: false });
      const { lastEvent } = await subject.live.snapshot();
      expect(await subject.live.send(allow)).toEqual({ rule: 'write', already: true });
      expect((await subject.live.snapshot()).lastEvent).toBe(lastEvent);
      await subject.live.send({ type: 'RevokePermission', rule: 'write' });
      expect((await subject.live.snapshot()).state.permissions).toEqual([]);
      await expect(subject.live.send({ ...allow, rule: 'everything' })).rejects.toMatchObject({ code: 'USAGE' });
    });
  });

  describe(`${name}: the end`, () => {
    it('saves the session, and sends every client `bye` after the last recorded event', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      await prompt(subject.live, 'hello');
      await client.until((event) => event.type === 'delta');
      await subject.live.send({ type: 'Shutdown' });
      await client.ended;
      expect(client.events.at(-1)).toEqual({ type: 'bye', status: 'completed' });
      expect(await subject.onDisk()).toEqual(['hello', 'part 1 ']);
    });

    it('comes to every client even if the session can not be saved', async () => {
      await using subject = await begin();
      const client = new Client(subject.live);
      await answered(subject.live, 'one', client);
      const mend = subject.failSaves();
      await expect(subject.live.send({ type: 'Shutdown' })).rejects.toMatchObject({ code: 'NOT_SAVED' });
      mend();
      await client.ended;
      expect(client.events.at(-1)).toMatchObject({ type: 'bye' });
    });

    it('refuses the prompts that wait, and those that come later', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      await prompt(subject.live, 'one');
      const waiting = expect(prompt(subject.live, 'two')).rejects.toMatchObject({ code: 'FAILED' });
      await subject.live.send({ type: 'Shutdown' });
      await waiting;
      await client.ended;
      expect(client.events).toContainEqual(expect.objectContaining({ type: 'idle', tag: 'two', outcome: 'unsent' }));
      await expect(prompt(subject.live, 'three')).rejects.toMatchObject({ code: 'FAILED' });
    });

    it('after a fault of the program fails every subscription, and loses nothing recorded', async () => {
      await using subject = await begin('slow');
      const client = new Client(subject.live);
      await prompt(subject.live, 'hello');
      await client.until((event) => event.type === 'delta');
      await subject.crash();
      await expect(client.ended).rejects.toThrow();
      expect((await subject.onDisk())[0]).toBe('hello');
    });
  });
}

/** A client that reads and keeps every event. */
class Client {
  readonly events: LiveEvent[] = [];
  /** Resolves when the subscription ends, and rejects if it fails. */
  readonly ended: Promise<void>;
  #wake = Promise.withResolvers<void>();

  constructor(live: Live, after?: number, signal?: AbortSignal) {
    const events = live.events(after, signal);
    this.ended = this.#read(events);
    this.ended.catch(() => undefined); // a test that expects an end awaits it
  }

  /** Resolves once an event has arrived that `isIt` accepts. */
  async until(isIt: (event: LiveEvent) => boolean): Promise<void> {
    for (let at = 0; ; at++) {
      while (this.events.length <= at) await Promise.race([this.#wake.promise, this.ended.then(() => this.#fail())]);
      const event = this.events[at];
      if (event !== undefined && isIt(event)) return;
    }
  }

  async #read(events: AsyncIterable<LiveEvent>): Promise<void> {
    for await (const event of events) {
      this.events.push(event);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
  }

  #fail(): never {
    throw new Error(`the subscription has ended: ${outline(this.events).join(', ')}`);
  }
}

/** Sends a prompt, with its text as its tag. */
function prompt(live: Live, text: string): Promise<undefined> {
  return live.send({ type: 'SendMessage', text, tag: text });
}

/** Sends a prompt, and waits until a client has seen `turns` turns end. */
async function answered(live: Live, text: string, client: Client, turns = 1): Promise<void> {
  await prompt(live, text);
  await client.until(idles(turns));
}

/** Sends a prompt that leads to a question, and returns the question. */
async function asked(live: Live, client: Client, text: string): Promise<Question> {
  await prompt(live, text);
  const questions: Question[] = [];
  await client.until((event) => event.type === 'ask' && questions.push(event.question) > 0);
  return questions[0] as Question;
}

/** Returns a function that accepts the `count`th `idle` event. */
function idles(count: number): (event: LiveEvent) => boolean {
  let seen = 0;
  return ({ type }) => type === 'idle' && ++seen === count;
}

function recorded(events: readonly LiveEvent[]): number[] {
  return events.flatMap((event) => (event.type === 'recorded' ? [event.event.id] : []));
}

function deltas(events: readonly LiveEvent[]): string {
  return events.map((event) => (event.type === 'delta' ? event.text : '')).join('');
}

/** Summarises events, one line each. Consecutive deltas count as one. */
function outline(events: readonly LiveEvent[]): string[] {
  const lines = events.flatMap((event): string[] => {
    if (event.type === 'idle') return [`idle ${event.outcome}`];
    if (event.type !== 'recorded') return [event.type];
    if (event.event.type !== 'message') return [];
    const { role, content } = (event.event as { message: { role: string; content: unknown } }).message;
    return [`${role}: ${typeof content === 'string' ? content : JSON.stringify(content)}`];
  });
  return lines.filter((line, at) => line !== 'delta' || lines[at - 1] !== 'delta');
}
