import { readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { CofferError } from '../../src/errors.ts';
import { FileLock } from '../../src/files/lock.ts';
import { sessionsOf } from '../../src/session/open-vault.ts';
import { Body } from '../../src/vault/file/body.ts';
import { begin, type Home, home, reply, texts, user } from '../support/vault.ts';

describe('Session', () => {
  it('writes nothing until its first step', async () => {
    const at = home();
    await using sessions = await at.open();
    begin(sessions);
    expect(() => at.files()).toThrow('ENOENT');
  });

  it('is on disk when append resolves, and reads back completely', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('first'), reply('second'));
    await session.append({ type: 'model', model: 'demo/eliza' }, { type: 'name', name: 'umlauts: äöü 🎈' });
    await session.append({ type: 'usage', model: 'demo/echo', usage: { inputTokens: 3, outputTokens: 4, cost: null } });

    const other = await at.open();
    const [row] = await other.list();
    expect(row).toMatchObject({
      number: 1,
      label: '_autosave',
      messages: 2,
      model: 'demo/eliza',
      name: 'umlauts: äöü 🎈',
    });
    const recorded = await other.read(row!);
    expect(recorded.events).toEqual(session.events);
    expect(recorded.state).toEqual(session.state);
    expect(recorded.state).toMatchObject({ inputTokens: 3, outputTokens: 4, cost: null, directory: '/work/project' });
    await sessions.close();
  });

  it('overwrites one file, which _autosave points at', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    for (let step = 0; step < 5; step++) await session.append(user(`message ${step}`));
    expect(at.files()).toEqual([session.fileId]);
    expect(readlinkSync(join(at.directory, 'sessions', '_autosave'))).toBe(session.fileId);
    expect(readFileSync(at.path(session.fileId!)).readBigUInt64BE(44)).toBe(5n);
  });

  it('resumes in its own file, with ids that increase across resumes', async () => {
    const at = home();
    const first = await at.open();
    const session = begin(first);
    await session.append(user('one'));
    await first.close();

    await using second = await at.open();
    const resumed = await second.resume(await second.find('1'));
    await resumed.append(user('two'));
    expect(texts(resumed)).toEqual(['one', 'two']);
    expect(at.files()).toHaveLength(1);
    const ids = resumed.events.map((event) => event.id);
    expect(ids).toEqual(ids.map((_, index) => index + 1));
    expect(resumed.uuid).toBe(session.uuid);
  });

  it('begins a new session whose parent is the snapshot that was resumed', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const { id } = await session.save('before');
    await session.append(user('two'));

    const resumed = await sessions.resume(await sessions.find(id));
    await resumed.append(user('three'));
    expect(texts(resumed)).toEqual(['one', 'three']);
    expect(resumed.state.parent).toMatchObject({ id });
    expect(resumed.uuid).not.toBe(session.uuid);
    expect(await sessions.list()).toHaveLength(3);
    const snapshot = await sessions.read(await sessions.find(id));
    expect(texts(snapshot)).toEqual(['one']);
  });

  it('takes two snapshots with the same name in one minute', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'), reply('two'));
    const first = await session.save('fixing-auth-bug');
    const second = await session.save('fixing-auth-bug');
    expect(first).toEqual({ id: expect.stringMatching(/^\d{4}-\d\d-\d\d_\d\d-\d\d_fixing-auth-bug$/), messages: 2 });
    expect(second.id).toMatch(/_fixing-auth-bug(-2)?$/);
    expect(second.id).not.toBe(first.id);
  });

  it('takes a snapshot of a saved session with all its events', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'), reply('two'));
    await session.close();
    const row = await sessions.find('1');
    const { id } = await sessions.snapshot(row, 'kept');
    const { events } = await sessions.read(await sessions.find(id));
    expect(events).toEqual((await sessions.read(row)).events);
  });

  it('keeps a name out of the file system', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const { id } = await session.save('../../x/y');
    expect(id).toMatch(/_\.\.\/\.\.\/x\/y$/);
    expect(at.files()).toHaveLength(2);
  });

  it.each([
    ['a control character', 'name\u0007', /control characters/],
    ['a line feed', 'a\nb', /control characters/],
    ['a mark that reverses text', 'a\u202eb', /control characters/],
    ['101 characters', 'x'.repeat(101), /at most 100 characters, this one has 101/],
  ])('rejects a name with %s', async (_, name, message) => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    await expect(session.save(name)).rejects.toThrow(message);
    expect(at.files()).toHaveLength(1);
  });

  it('counts 100 characters, not code units', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    await expect(session.save('🎈'.repeat(100))).resolves.toMatchObject({ messages: 1 });
  });

  it('keeps what could not be saved and saves it when the cause is gone', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const directory = join(at.directory, 'sessions');
    rmSync(directory, { recursive: true });
    writeFileSync(directory, 'in the way');
    await session.record(user('two'));
    expect(session.unsaved).toMatchObject({ messages: 1, error: { code: 'NOT_SAVED' } });
    await expect(session.append(user('three'))).rejects.toMatchObject({ code: 'NOT_SAVED' });
    rmSync(directory);
    const { mkdirSync } = await import('node:fs');
    mkdirSync(directory, { mode: 0o700 });
    await session.record(user('four'));
    expect(session.unsaved).toBeUndefined();
    const recorded = await sessions.read((await sessions.list())[0]!);
    expect(texts(recorded)).toEqual(['one', 'two', 'three', 'four']);
  });

  it('saves a partial reply, and replaces it with the whole reply', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    session.draft = { ...reply('hal'), partial: true } as never;
    await session.saveDraft();
    const [row] = await sessions.list();
    expect(texts(await sessions.read(row!))).toEqual(['one', 'hal']);
    session.draft = undefined;
    await session.append(reply('half and the rest'));
    expect(texts(await sessions.read(row!))).toEqual(['one', 'half and the rest']);
  });

  it('makes a final save of everything, synchronously, with the partial reply marked', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    session.draft = { type: 'message', message: { role: 'assistant', content: 'hal' }, partial: true };
    session.finalSave();
    session.finalSave();
    const other = await at.open();
    const recorded = await other.read((await other.list())[0]!);
    expect(texts(recorded)).toEqual(['one', 'hal']);
    expect(recorded.events.at(-2)).toMatchObject({ type: 'message', partial: true });
    expect(recorded.state.status).toBe('cancelled');
  });

  it('overtakes a save in flight with the final one', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const inFlight = session.append(user('two'));
    await Promise.resolve();
    session.finalSave();
    await inFlight;
    const other = await at.open();
    expect(texts(await other.read((await other.list())[0]!))).toEqual(['one', 'two']);
  });

  it('makes one file if the final save interrupts the first save at any moment', async () => {
    const refusals: [number, string][] = [];
    for (let moment = 0; moment < 24; moment++) {
      const at = home();
      const sessions = await at.open();
      const session = begin(sessions);
      const first = session.append(user('one'));
      for (let turn = 0; turn < moment; turn++) await Promise.resolve();
      // No signal arrives between two microtasks, so it may refuse in the one microtask in which we
      // hold the turn but don't know it yet.
      const refused = refusalOf(() => session.finalSave());
      if (refused) refusals.push([moment, refused]);
      await first;
      const [row] = await (await at.open()).list();
      expect([moment, row]).toMatchObject([moment, { label: '_autosave', messages: 1, status: 'cancelled' }]);
      expect([moment, at.files()]).toEqual([moment, [session.fileId]]);
      if (!refused) expect([moment, readdirSync(join(at.directory, 'locks'))]).toEqual([moment, ['vault']]);
      expect(texts(await sessions.read((await sessions.list())[0]!))).toEqual(['one']);
    }
    expect(refusals.length).toBeLessThan(4);
    expect(refusals.every(([, code]) => code === 'NOT_SAVED')).toBe(true);
  });

  it('records nothing after the final save, and throws no error for record and saveDraft', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    session.finalSave();
    await session.record(reply('late'));
    await session.saveDraft();
    expect(texts(session)).toEqual(['one']);
    await expect(session.append(user('two'))).rejects.toThrow(TypeError);
  });

  it.each([
    ['a programming error', new TypeError('boom')],
    ['a system error', Object.assign(new Error('x'), { code: 'EIO', errno: -5, syscall: 'fsync' })],
    ['a thrown string', 'boom'],
  ])('reports %s of a save in unsaved, and the next save saves everything', async (_, thrown) => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const failing = vi.spyOn(Body.prototype, 'toSegmentsAside').mockRejectedValueOnce(thrown);
    onTestFinished(() => failing.mockRestore());
    await expect(session.append(reply('two'))).rejects.toBe(thrown);
    expect(session.unsaved).toMatchObject({ messages: 1, error: { code: 'NOT_SAVED' } });
    expect(session.unsaved?.error.reason).toMatch(/boom|x/);
    await session.append(user('three'));
    expect(session.unsaved).toBeUndefined();
    expect(texts(await sessions.read(await sessions.find('1')))).toEqual(['one', 'two', 'three']);
    failing.mockRejectedValueOnce(thrown);
    await session.record(user('four'));
    expect(session.unsaved).toMatchObject({ messages: 1 });
  });

  it('reports any error of a final save in unsaved, and the next one saves everything', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    session.draft = reply('two');
    const thrown = new TypeError('boom');
    const failing = vi.spyOn(Body.prototype, 'toSegments').mockImplementationOnce(() => {
      throw thrown;
    });
    onTestFinished(() => failing.mockRestore());
    expect(() => session.finalSave()).toThrow(thrown);
    expect(session.unsaved).toMatchObject({ messages: 1, error: { code: 'NOT_SAVED', reason: 'boom' } });
    session.finalSave();
    expect(session.unsaved).toBeUndefined();
    expect(texts(await sessions.read(await sessions.find('1')))).toEqual(['one', 'two']);
  });

  it('closes all sessions of a vault even if closing some of them fails', async () => {
    const at = home();
    const sessions = await at.open();
    const opened = [begin(sessions), begin(sessions), begin(sessions)];
    for (const session of opened) await session.append(user('one'));
    const failing = vi.spyOn(Body.prototype, 'toSegmentsAside').mockRejectedValueOnce('boom');
    onTestFinished(() => failing.mockRestore());
    await expect(sessions.close()).rejects.toBe('boom');
    expect(opened.map(({ isClosed }) => isClosed)).toEqual([true, true, true]);
    await using again = await at.open();
    const rows = await again.list();
    expect(rows.map(({ status }) => status).sort()).toEqual(['completed', 'completed', 'interrupted']);
    for (const row of rows) await (await again.resume(row)).close();
  });

  it('reports how many sessions could not be closed', async () => {
    const at = home();
    const sessions = await at.open();
    const opened = [begin(sessions), begin(sessions), begin(sessions)];
    for (const session of opened) await session.append(user('one'));
    const full = new CofferError('NOT_SAVED', 'cannot write', { reason: 'disk full' });
    const failing = vi
      .spyOn(Body.prototype, 'toSegmentsAside')
      .mockRejectedValueOnce(full)
      .mockRejectedValueOnce('boom');
    onTestFinished(() => failing.mockRestore());
    const error = (await sessions.close().catch((thrown: unknown) => thrown)) as CofferError;
    expect(error).toMatchObject({
      code: 'NOT_SAVED',
      reason: 'disk full',
      message: '2 sessions could not be closed: disk full',
      cause: { errors: [full, 'boom'] },
    });
    expect(error.cause).toBeInstanceOf(AggregateError);
  });

  it('throws NOT_SAVED if another process is changing the vault during the final save', async () => {
    const at = home();
    const sessions = await at.open();
    await begin(sessions).append(user('one'));
    const session = begin(sessions);
    using _turn = FileLock.tryTake(join(at.directory, 'locks', 'vault'));
    session.draft = user('two');
    expect(() => session.finalSave()).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
    expect(session.unsaved).toMatchObject({ messages: 1, error: { code: 'NOT_SAVED' } });
  });

  it('throws NOT_SAVED if the key was never available for the final save', async () => {
    const at = home();
    const sessions = sessionsOf({ directory: at.directory, keyring: at.keyring, env: {} });
    const session = begin(sessions);
    session.draft = user('one');
    expect(() => session.finalSave()).toThrow(expect.objectContaining({ code: 'NOT_SAVED' }));
  });

  it('keeps a conversation of several mebibytes complete across steps, folds and resumes', async () => {
    const at = home();
    const said: string[] = [];
    for (let round = 0; round < 3; round++) {
      await using sessions = await at.open();
      const session = round === 0 ? begin(sessions) : await sessions.resume(await sessions.find('1'));
      for (let step = 0; step < 12; step++) {
        said.push(`${round} ${step} ${noise(120_000)}`);
        await session.append(user(said.at(-1)!));
      }
    }
    const other = await at.open();
    expect(texts(await other.read((await other.list())[0]!))).toEqual(said);
    expect(at.files()).toHaveLength(1);
  });

  it('leaves no temporary file if the final save overtakes one in flight', async () => {
    for (let trial = 0; trial < 10; trial++) {
      const at = home();
      const sessions = await at.open();
      const session = begin(sessions);
      await session.append(user('one'));
      const inFlight = session.append(user('two'));
      for (let turn = 0; turn < 50 && unfinished(at).length === 0; turn++) await Promise.resolve();
      expect(unfinished(at)).toHaveLength(1);
      session.finalSave();
      expect(unfinished(at)).toEqual([]);
      await inFlight;
    }
  });

  it('accepts any number of events in one step', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(...Array.from({ length: 100_000 }, () => user('')));
    await session.close();
    expect((await sessions.read((await sessions.list())[0]!)).state.messages).toHaveLength(100_000);
  });

  it('makes the final save of a session that is being closed', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const closing = session.close();
    session.finalSave();
    await closing;
    const other = await at.open();
    const recorded = await other.read((await other.list())[0]!);
    expect(texts(recorded)).toEqual(['one']);
    expect(recorded.state.status).toBe('cancelled');
  });

  it('removes temporary files of a crash when the next conversation begins, but none of a live session', async () => {
    const at = home();
    await using sessions = await at.open();
    const live = begin(sessions);
    await live.append(user('one'));
    const folder = join(at.directory, 'sessions');
    const own = `.${live.fileId}.0123456789abcdef.tmp`;
    for (const name of [own, `.${'a'.repeat(32)}.0123456789abcdef.tmp`]) writeFileSync(join(folder, name), 'left');
    await begin(sessions).append(user('two'));
    expect(unfinished(at)).toEqual([own]);
  });

  it('points _autosave at the resumed session', async () => {
    const at = home();
    const sessions = await at.open();
    const [older, newer] = [begin(sessions), begin(sessions)];
    await older.append(user('one'));
    await newer.append(user('two'));
    await sessions.close();
    await using again = await at.open();
    await again.resume(await again.find(older.fileId!));
    expect(readlinkSync(join(at.directory, 'sessions', '_autosave'))).toBe(older.fileId);
    expect((await again.list())[0]).toMatchObject({ label: '_autosave', fileId: older.fileId });
  });

  it('saves nothing automatically if autosave is off, but a snapshot on request', async () => {
    const at = home();
    await using sessions = await at.open({ autosave: false });
    const session = begin(sessions);
    await session.record(user('one'));
    session.finalSave();
    expect(await sessions.list()).toEqual([]);
    await session.save('asked');
    expect(await sessions.list()).toMatchObject([{ kind: 'snapshot', name: 'asked', messages: 1 }]);
  });

  it('appends frames to a large file, and folds them when it is closed', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user(noise(300_000)));
    const path = at.path(session.fileId!);
    const inode = statSync(path).ino;
    const before = statSync(path).size;
    for (let step = 0; step < 5; step++) await session.append(user(`small ${step}`));
    expect(statSync(path).ino).toBe(inode);
    expect(statSync(path).size).toBeGreaterThan(before);
    expect(statSync(path).size).toBeLessThan(before + 5 * 2048);
    expect(texts(await sessions.read((await sessions.list())[0]!))).toHaveLength(6);
    expect((await sessions.list())[0]).toMatchObject({ messages: 6 });
    await sessions.close();
    expect(statSync(path).ino).not.toBe(inode);
    const other = await at.open();
    expect(texts(await other.read((await other.list())[0]!)).slice(1)).toEqual(
      [0, 1, 2, 3, 4].map((n) => `small ${n}`),
    );
  });
});

/** Returns the code of the error that `work` throws; undefined if it throws none. */
function refusalOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** Lists the temporary files of saves. */
function unfinished(at: Home): string[] {
  return readdirSync(join(at.directory, 'sessions')).filter((name) => name.endsWith('.tmp'));
}

/** Returns text that hardly compresses. */
function noise(length: number): string {
  let state = 1;
  return Array.from({ length }, () => {
    state = (state * 48271) % 2147483647;
    return String.fromCharCode(97 + (state % 26));
  }).join('');
}

describe('a session with remarks only', () => {
  it('ends as completed if it was begun here', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append({ type: 'name', name: 'later' });
    await sessions.close();
    expect(await (await at.open()).list()).toMatchObject([{ name: 'later', status: 'completed' }]);
  });

  it('keeps its status and time if it was opened for that', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    await session.close('cancelled');
    const [row] = await sessions.list();
    await sessions.change(row!, (opened) => opened.append({ type: 'pin', pinned: true }));
    expect(await sessions.list()).toMatchObject([{ pinned: true, status: 'cancelled', updated: row!.updated }]);
  });
});
