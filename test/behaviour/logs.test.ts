import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, it } from 'vitest';
import { openVault } from '../../src/session/open-vault.ts';
import { requirePosix } from '../files/facilities.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { startModelServer } from '../support/model-server.ts';
import { HANGS } from '../support/patience.ts';
import { PROGRAM } from '../support/program.ts';
import type { Terminal } from '../support/pty.ts';

beforeEach(requirePosix);

describe('coffer logs --follow', () => {
  it('prints each event once and in order while chats start, grow, are killed, fold and resume', async () => {
    await using place = await makePlace();
    await using first = await chatting(place);
    const [row] = await place.listed();
    await using log = new Follower(place, [row?.id ?? '', '--json']);
    await log.until(({ type }) => type === 'usage');
    for (let step = 0; step < 3; step++) await say(first, `short ${step}`);
    first.kill('SIGKILL');
    await first.exit;

    // Steps of that size are appended; the end of the chat folds them.
    const generation = (): bigint => readFileSync(place.sessionFile(row?.fileId ?? '')).readBigUInt64BE(44);
    const before = generation();
    const lines = Array.from({ length: 4 }, () => randomBytes(50_000).toString('hex'));
    const second = await place.run(['resume', row?.id ?? ''], { input: `${lines.join('\n')}\n` });
    expect(second).toMatchObject({ code: 0 });
    expect(generation()).toBeGreaterThan(before);
    await log.until(({ type, status }) => type === 'status' && status === 'completed');

    await using third = place.terminal(['resume', row?.id ?? '']);
    await third.waitFor(/» /);
    await say(third, 'a third process');
    third.key('ctrl+d');
    expect(await third.exit).toEqual({ code: 0, signal: null });
    const { events } = await place.exported(row?.id ?? '');
    await log.until(({ id }) => id === events.length);
    expect(log.events).toEqual(events);
    expect(log.events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1));
    const states = log.events.flatMap(({ status, reason }) =>
      status ? [reason ? `${status}: ${reason}` : status] : [],
    );
    expect(states).toEqual(['running', 'failed: interrupted', 'running', 'completed', 'running', 'completed']);
    expect(await log.stop('SIGINT')).toEqual({ code: null, signal: 'SIGINT' });
  });

  it('holds a streaming reply back, and prints the partial reply once its chat was killed', async () => {
    await using server = await startModelServer();
    await using place = await makePlace({
      settings: { saveInterval: 1000, providers: { held: { baseURL: server.held } } },
    });
    await using chat = place.terminal(['--model', 'held/slow']);
    await chat.waitFor(/» /);
    chat.enter('tell me');
    await server.streaming();
    await using log = await followed(place);
    await saved(place, 'part 1 ');
    // The other log shows the events that the follower must have seen without printing them.
    const { stdout } = await place.run(['logs', '1', '--json']);
    expect(stdout).toContain('"partial":true');
    await log.until(({ type }) => type === 'message');
    expect(log.events.filter((event) => 'partial' in event)).toEqual([]);
    chat.kill('SIGKILL');
    await chat.exit;
    await log.until((event) => event['partial'] === true);
    expect(log.events.at(-1)).toMatchObject({ message: { content: 'part 1 ' } });
    const resumed = await place.run(['resume', '1', '--model', 'demo/echo'], { input: 'go on\n' });
    expect(resumed.code).toBe(0);
    await log.until(({ type, status }) => type === 'status' && status === 'completed');
    expect(log.events).toEqual((await place.exported('1')).events);
  });

  it('ends with 10 when the session is deleted', async () => {
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    await using log = await followed(place);
    await log.until(({ type, status }) => type === 'status' && status === 'completed');
    await using vault = await openVault({ directory: place.data, env: place.libraryEnv });
    await vault.delete(await vault.find('1'));
    expect(await log.exit).toEqual({ code: 10, signal: null });
    expect(JSON.parse(await log.stderr)).toMatchObject({ error: { code: 'SESSION_NOT_FOUND', exit: 10 } });
  });

  it('ends quietly when its output is closed', async () => {
    await using place = await makePlace();
    await using chat = await chatting(place);
    await using log = await followed(place);
    await log.until(({ type }) => type === 'usage');
    log.close();
    await say(chat, 'one');
    await say(chat, 'two');
    expect(await log.exit).toEqual({ code: 0, signal: null });
    expect(await log.stderr).toBe('');
  });

  it('ends by the signal of Ctrl+C on a terminal', async () => {
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    await using log = place.terminal(['logs', '1', '--follow']);
    await log.waitFor(/#7 \S+ status completed/);
    log.key('ctrl+c');
    expect(await log.exit).toEqual({ code: null, signal: 'SIGINT' });
  });

  it('does not block a chat that resumes the session', async () => {
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { input: 'hello\n' });
    await using log = await followed(place);
    await log.until(({ type, status }) => type === 'status' && status === 'completed');
    for (let turn = 0; turn < 3; turn++) {
      expect(await place.run(['resume', '1'], { input: `turn ${turn}\n` })).toMatchObject({ code: 0 });
    }
    expect((await place.listed())[0]).toMatchObject({ messages: 8, status: 'completed' });
  });
});

describe('a chat that was killed', () => {
  it('is interrupted in the list and in status, is found as failed, and has that on record once it is resumed', async () => {
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { input: 'ended well\n' });
    await using chat = await chatting(place);
    const running = await place.run(['sessions', '--json', '--status', 'running']);
    expect(JSON.parse(running.stdout)).toMatchObject([{ status: 'running', held: { pid: chat.pid } }]);
    expect((await place.run(['status', '1'])).stdout).toContain(`running, process ${chat.pid} since `);
    chat.kill('SIGKILL');
    await chat.exit;

    for (const status of ['failed', 'interrupted', 'cancelled,interrupted']) {
      const found = await place.run(['sessions', '--json', '--status', status]);
      expect(JSON.parse(found.stdout), status).toMatchObject([{ number: 1, status: 'interrupted' }]);
    }
    expect(JSON.parse((await place.run(['sessions', '--json', '--status', 'running'])).stdout)).toEqual([]);
    expect((await place.run(['status', '1'])).stdout).toMatch(/^status {6}interrupted: /m);
    expect(JSON.parse((await place.run(['status', '1', '--json'])).stdout)).toMatchObject({ status: 'interrupted' });

    await place.run(['resume', '1'], { input: 'go on\n' });
    const { stdout } = await place.run(['logs', '1']);
    expect(stdout).toMatch(/^#\d+ \S+ status failed: interrupted\n#\d+ \S+ status running$/m);
    expect((await place.listed())[0]).toMatchObject({ status: 'completed' });
  });
});

type Recorded = Record<string, unknown> & { id: number; type: string; status?: string; reason?: string };

/** A process that runs `coffer logs --follow`. */
class Follower implements AsyncDisposable {
  readonly events: Recorded[] = [];
  readonly stderr: Promise<string>;
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  #ended = false;

  constructor(place: Place, args: readonly string[]) {
    const { COFFER_KEY_FD: _, ...env } = place.env;
    this.#child = spawn(process.execPath, [PROGRAM, 'logs', '--follow', ...args], {
      cwd: place.project,
      env: { ...env, CREDENTIALS_DIRECTORY: place.credentials },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.stderr = text(this.#child.stderr!);
    this.exit = once(this.#child, 'exit').then(([code, signal]) => {
      this.#ended = true;
      return { code, signal };
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on('line', (line) => {
      this.events.push(JSON.parse(line) as Recorded);
      this.#lines.emit('event');
    });
  }

  /**
   * Resolves when a matching event arrives, or has arrived. Rejects if the follower ends first or
   * is silent.
   */
  async until(isSuch: (event: Recorded) => boolean): Promise<void> {
    const silent = AbortSignal.timeout(HANGS);
    while (!this.events.some(isSuch)) {
      const ended = this.exit.then(async () => Promise.reject(new Error(`it ended: ${await this.stderr}`)));
      await Promise.race([once(this.#lines, 'event', { signal: silent }), ended]);
    }
  }

  /** Closes its output, as `head` does when it has enough. */
  close(): void {
    this.#child.stdout?.destroy();
  }

  async stop(signal: NodeJS.Signals): ReturnType<() => Follower['exit']> {
    this.#child.kill(signal);
    return this.exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#child.kill('SIGKILL');
    await this.exit;
  }
}

/** Starts a follower of the newest session that has already printed something. */
async function followed(place: Place): Promise<Follower> {
  const log = new Follower(place, ['1', '--json']);
  await log.until(({ type }) => type === 'begin');
  return log;
}

/** Starts a live chat and saves its first exchange. */
async function chatting(place: Place): Promise<Terminal> {
  const chat = place.terminal(['--model', 'demo/echo']);
  await chat.waitFor(/» /);
  await say(chat, 'hello');
  return chat;
}

async function say(chat: Terminal, words: string): Promise<void> {
  chat.enter(words);
  await chat.waitFor(new RegExp(`echo: ${words}`));
  await chat.waitFor(/» /);
}

/** Resolves when the partial reply is in the record. */
async function saved(place: Place, content: string): Promise<void> {
  await using vault = await openVault({ directory: place.data, env: place.libraryEnv });
  const row = await vault.find('1');
  for (;;) {
    const { events } = await vault.read(row);
    if (events.some((event) => JSON.stringify(event).includes(`"content":"${content}"`))) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
