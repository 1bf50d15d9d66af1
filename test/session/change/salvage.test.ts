import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeLost } from '../../../src/session/change/salvage.ts';
import { isKnown } from '../../../src/session/event/event.ts';
import { sessionsOf } from '../../../src/session/open-vault.ts';
import type { Sessions } from '../../../src/session/sessions.ts';
import type { Recorded } from '../../../src/session/shapes.ts';
import { begin, type Home, home, reply, temporaryFolder, texts, user } from '../../support/vault.ts';

/** Returns text of about `size` bytes that does not compress. */
function noise(size: number): string {
  return randomBytes(Math.ceil((size * 3) / 4)).toString('base64');
}

/**
 * Makes a session whose messages are `0 …`, `1 …`: twelve in several segments of one frame, then
 * `later` small ones with a frame each. Returns the file's size after each frame.
 */
async function large(at: Home, later: number): Promise<{ fileId: string; ends: number[] }> {
  const sessions = await at.open();
  const session = begin(sessions);
  for (let index = 0; index < 12; index++) await session.append(user(`${index} ${noise(300_000)}`));
  await session.close();
  const [row] = await sessions.list();
  const again = await sessions.resume(row!);
  const fileId = again.fileId!;
  const ends = [readFileSync(at.path(fileId)).length];
  for (let index = 12; index < 12 + later; index++) {
    await again.append(user(`${index} ${noise(600)}`));
    ends.push(readFileSync(at.path(fileId)).length);
  }
  return { fileId, ends };
}

function damage(path: string, ...offsets: number[]): Buffer {
  const bytes = readFileSync(path);
  for (const offset of offsets) bytes[offset]! ^= 0x10;
  writeFileSync(path, bytes);
  return bytes;
}

/** Reads a salvaged session, and returns the first word of each of its messages. */
async function salvaged(sessions: Sessions, id: string): Promise<{ words: string[]; recorded: Recorded }> {
  const recorded = await sessions.read(await sessions.find(id));
  return { words: texts(recorded).map((text) => String(text).split(' ')[0] ?? ''), recorded };
}

function upTo(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index));
}

describe('salvage', () => {
  it('restores what verifies as a new session, and leaves the damaged file unchanged', async () => {
    const at = home();
    const { fileId } = await large(at, 0);
    const kept = damage(at.path(fileId), 2_000_000);
    const sessions = await at.open();
    const before = (await sessions.list()).find((row) => row.fileId === fileId)!;
    const { id, messages, before: were, lost, path } = await sessions.upkeep.salvage(fileId);
    expect(were).toBe(12);
    expect(path).toBe(at.path(fileId));
    expect(readFileSync(path)).toEqual(kept);
    const { words, recorded } = await salvaged(sessions, id);
    expect(messages).toBe(words.length);
    expect(messages).toBeGreaterThanOrEqual(4);
    expect(messages).toBeLessThan(12);
    const missing = upTo(12).filter((word) => !words.includes(word));
    expect([...words, ...missing].sort()).toEqual(upTo(12).sort());
    expect(lost).toHaveLength(1);
    // Events 1 to 3 begin the session.
    expect(lost[0]).toEqual({ first: Number(missing[0]) + 4, last: Number(missing.at(-1)) + 4 });
    expect(recorded.row).toMatchObject({ kind: 'session', model: 'demo/echo', directory: '/work/project' });
    const parent = { uuid: before.uuid, id: before.id, reason: `salvaged from ${fileId}` };
    expect(recorded.row.parent).toEqual(parent);
    expect(recorded.state.parent).toEqual(parent);
    expect(recorded.state.status).toBe('completed');
    expect(recorded.row.uuid).not.toBe(before.uuid);
    expect(recorded.events.map((event) => event.id)).toEqual(recorded.events.map((_, index) => index + 1));
    const note = recorded.events.findIndex((event) => event.type === 'error');
    expect(recorded.events[note]).toMatchObject({
      code: 'UNAUTHENTIC',
      message: `events ${lost[0]?.first} to ${lost[0]?.last} are lost: the file was damaged`,
    });
    const wordAt = (index: number): string => {
      const event = recorded.events[index];
      return event && isKnown(event) && event.type === 'message' ? String(event.message.content).split(' ')[0]! : '';
    };
    expect([wordAt(note - 1), wordAt(note + 1)]).toEqual([
      String(Number(missing[0]) - 1),
      String(Number(missing.at(-1)) + 1),
    ]);
    await sessions.close();
  });

  it('leaves _autosave where it points, and makes a session that can be resumed', async () => {
    const at = home();
    const { fileId } = await large(at, 0);
    damage(at.path(fileId), 2_000_000);
    const sessions = await at.open();
    const { id } = await sessions.upkeep.salvage(fileId);
    expect((await sessions.list()).find((row) => row.autosave)?.fileId).toBe(fileId);
    const session = await sessions.resume(await sessions.find(id));
    await session.append(user('goes on'));
    await session.close();
    expect(texts(session).at(-1)).toBe('goes on');
  });

  it('counts the session as used now, and keeps rewound messages removed', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    for (let index = 0; index < 12; index++) await session.append(user(`${index} ${noise(300_000)}`));
    await session.append({ type: 'rewind', to: session.state.messageEvents[10]! }, user('after'));
    await session.close();
    damage(at.path(session.fileId!), 1_300_000);
    const before = Date.now();
    const { id, lost } = await sessions.upkeep.salvage(session.fileId!);
    expect(lost).toHaveLength(1);
    // Events are renumbered because some are lost: the twelfth message must still be removed.
    const { words } = await salvaged(sessions, id);
    expect(words.at(-1)).toBe('after');
    expect(words.at(-2)).toBe('10');
    expect((await sessions.find(id)).updated).toBeGreaterThanOrEqual(before);
    await sessions.close();
  });

  it('reports a lost last step without a last id, which nothing records', async () => {
    const at = home();
    const { fileId, ends } = await large(at, 5);
    damage(at.path(fileId), ends[4]! + 100);
    const sessions = await at.open();
    const { messages, before, lost } = await sessions.upkeep.salvage(fileId);
    expect([messages, before]).toEqual([16, undefined]);
    expect(lost).toHaveLength(1);
    expect(lost[0]?.last).toBeUndefined();
  });

  it('loses one step among many frames, and knows its id', async () => {
    const at = home();
    const { fileId, ends } = await large(at, 5);
    damage(at.path(fileId), ends[2]! + 100);
    const sessions = await at.open();
    const { id, messages, before, lost } = await sessions.upkeep.salvage(fileId);
    expect([messages, before]).toEqual([16, 17]);
    expect(lost).toHaveLength(1);
    expect(lost[0]?.last).toBe(lost[0]?.first);
    expect((await salvaged(sessions, id)).words).toEqual(upTo(17).filter((word) => word !== '14'));
  });

  it('restores everything before a frame head that is beyond repair', async () => {
    const at = home();
    const { fileId, ends } = await large(at, 5);
    damage(at.path(fileId), ends[1]! + 5, ends[1]! + 6, ends[1]! + 40);
    const sessions = await at.open();
    const { id, before, lost } = await sessions.upkeep.salvage(fileId);
    expect(before).toBeUndefined();
    expect(lost).toEqual([{ first: expect.any(Number), last: undefined }]);
    expect((await salvaged(sessions, id)).words).toEqual(upTo(13));
  });

  it('loses nothing to damage in the header, and restores the name and status of a small session', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append({ type: 'name', name: 'fox' }, user('hello'), reply('yes'));
    await session.close();
    for (const offset of [8, 15, 30, 50, 53, 60, 100]) {
      const good = readFileSync(at.path(session.fileId!));
      damage(at.path(session.fileId!), offset);
      const { id, messages, before, lost } = await sessions.upkeep.salvage(session.fileId!);
      expect({ offset, messages, before, lost }).toEqual({ offset, messages: 2, before: 2, lost: [] });
      const { recorded } = await salvaged(sessions, id);
      expect(recorded.row).toMatchObject({ name: 'fox', status: 'completed', messages: 2 });
      expect(recorded.events.some((event) => event.type === 'error')).toBe(false);
      writeFileSync(at.path(session.fileId!), good);
    }
  });

  it('restores from the summary what the lost events recorded', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append({ type: 'name', name: 'fox' });
    for (let index = 0; index < 8; index++) await session.append(user(`${index} ${noise(300_000)}`));
    await session.close('cancelled');
    // In the first segment, after the first chunk, which has the summary.
    damage(at.path(session.fileId!), 20_000);
    const { id } = await sessions.upkeep.salvage(session.fileId!);
    const { recorded } = await salvaged(sessions, id);
    const facts = { name: 'fox', model: 'demo/echo', directory: '/work/project', status: 'cancelled' };
    expect(recorded.row).toMatchObject(facts);
    expect(recorded.state).toMatchObject(facts);
    expect(recorded.row.parent).toMatchObject({ uuid: session.uuid, id: session.id });
    expect(recorded.events[0]).toMatchObject({ type: 'error', id: 1 });
  });

  it('accepts a row, a name in quarantine and a path', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('hello'));
    await session.close();
    damage(at.path(session.fileId!), 30);
    const bytes = readFileSync(at.path(session.fileId!));
    const elsewhere = join(temporaryFolder(), 'copy');
    writeFileSync(elsewhere, bytes);
    mkdirSync(join(at.directory, 'quarantine'), { mode: 0o700 });
    writeFileSync(join(at.directory, 'quarantine', `${session.fileId}.torn.0a0b0c0d`), bytes);
    const [row] = await sessions.list();
    expect(row?.unreadable).toBeDefined();
    const ways = [row!.fileId, '1', `${session.fileId}.torn.0a0b0c0d`, elsewhere];
    for (const [index, which] of ways.entries()) {
      const rows = await sessions.list();
      const found = which === '1' ? String(rows.find(({ unreadable }) => unreadable)?.number) : which;
      expect((await sessions.upkeep.salvage(found)).messages, which).toBe(1);
      expect(at.files(), which).toHaveLength(2 + index);
    }
    expect(readFileSync(elsewhere)).toEqual(bytes);
  });
});

describe('salvage refuses', () => {
  async function small(): Promise<{ at: Home; sessions: Sessions; fileId: string }> {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('hello'));
    await session.close();
    return { at, sessions, fileId: session.fileId! };
  }

  it('an undamaged file, and saves nothing', async () => {
    const { at, sessions, fileId } = await small();
    await expect(sessions.upkeep.salvage(fileId)).rejects.toMatchObject({
      code: 'FAILED',
      message: `${fileId} is not damaged; coffer resume ${fileId} resumes it`,
    });
    expect(at.files()).toEqual([fileId]);
  });

  it.each([
    ['the only chunk is damaged', [200], 'UNAUTHENTIC'],
    ['the header is beyond repair', [30, 31, 50], 'UNAUTHENTIC'],
    ['the version is newer, and the frame does not verify', [8, 90, 120], 'NEWER_VERSION'],
  ])('a file if %s', async (_, offsets, code) => {
    const { at, sessions, fileId } = await small();
    if (offsets.includes(30)) writeFileSync(at.path(fileId), readFileSync(at.path(fileId)).fill(7, 28, 52));
    damage(at.path(fileId), ...offsets);
    await expect(sessions.upkeep.salvage(fileId)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(fileId),
    });
    expect(at.files()).toEqual([fileId]);
  });

  it('a file of another vault, naming its key', async () => {
    const { at, fileId } = await small();
    const other = await small();
    await expect(other.sessions.upkeep.salvage(at.path(fileId))).rejects.toMatchObject({
      code: 'KEY_OTHER',
      message: expect.stringContaining('needs another key'),
    });
    expect(other.at.files()).toHaveLength(1);
  });

  it('a file that is not a session, a link, a directory and a missing file', async () => {
    const { at, sessions, fileId } = await small();
    const bytes = readFileSync(at.path(fileId));
    bytes[9] = 2;
    const folder = temporaryFolder();
    const index = join(folder, 'index');
    writeFileSync(index, bytes.fill(0, 52));
    await expect(sessions.upkeep.salvage(index)).rejects.toMatchObject({
      code: 'UNAUTHENTIC',
      message: 'file index: it is not a session file but a file of kind index',
    });
    symlinkSync(at.path(fileId), join(folder, 'link'));
    for (const path of [join(folder, 'link'), folder]) {
      await expect(sessions.upkeep.salvage(path)).rejects.toMatchObject({ code: 'FAILED' });
    }
    for (const which of [join(folder, 'nothing'), 'nothing', '99', 'f'.repeat(32), '../nothing']) {
      await expect(sessions.upkeep.salvage(which), which).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    }
    expect(readdirSync(join(at.directory, 'sessions')).sort()).toEqual([fileId, '_autosave'].sort());
  });

  it('a file if there is no vault, without creating one', async () => {
    const { at, fileId } = await small();
    const empty = sessionsOf({ directory: join(temporaryFolder(), 'data'), keyring: at.keyring, env: {} });
    await expect(empty.upkeep.salvage(at.path(fileId))).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect(() => readdirSync(empty.directory)).toThrow('ENOENT');
  });
});

describe('describeLost', () => {
  it.each([
    [{ first: 88, last: 90 }, 'events 88 to 90 are lost'],
    [{ first: 88, last: 88 }, 'event 88 is lost'],
    [{ first: 88, last: undefined }, 'what came from event 88 on is lost'],
  ])('says %o', (lost, words) => {
    expect(describeLost(lost)).toBe(words);
  });
});
