import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { begin, crashed, type Home, home, reply, user } from '../../support/vault.ts';

/** Length of the header and of a frame head, which has sixty bytes. */
const HEADER = 52;
const HEAD = 60;

describe('a listed session', () => {
  it('is unreadable if any byte of the header, the frame head or the first chunk is changed', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'), reply('two'));
    const path = at.path(session.fileId!);
    await session.close();
    const bytes = readFileSync(path);
    for (let offset = 0; offset < bytes.length; offset += offset < HEADER + HEAD ? 1 : 41) {
      expect([offset, await listedWith(at, path, flipped(bytes, offset))]).toEqual([offset, 'unreadable']);
    }
    expect(await listedWith(at, path, bytes)).toBe('readable');
  });

  it('is read again if it changed within a tick of the clock, with the same inode, size and time', async () => {
    const at = home();
    const sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('one'));
    const path = at.path(session.fileId!);
    const before = readFileSync(path);
    await session.append(user('two'));
    const after = readFileSync(path);
    await sessions.close();
    expect(after.length).toBe(before.length);
    await using again = await at.open();
    const now = new Date();
    for (const [bytes, messages] of [
      [before, 1],
      [after, 2],
    ] as const) {
      writeFileSync(path, bytes);
      utimesSync(path, now, now);
      expect(await again.list()).toMatchObject([{ messages }]);
    }
  });

  it('is unreadable if any byte of any frame head is changed', async () => {
    const at = home();
    await using sessions = await at.open();
    const session = begin(sessions);
    await session.append(user('x'.repeat(200_000)));
    const path = at.path(session.fileId!);
    const starts = [HEADER, readFileSync(path).length];
    await session.append(user('two'));
    starts.push(readFileSync(path).length);
    await session.append(user('three'));
    const left = crashed(at);
    const leftPath = left.path(session.fileId!);
    const bytes = readFileSync(leftPath);
    for (const start of starts) {
      for (let offset = start; offset < start + HEAD; offset++) {
        const listed = await listedWith(left, leftPath, flipped(bytes, offset));
        expect([start, offset, listed]).toEqual([start, offset, 'unreadable']);
      }
    }
    expect(await listedWith(left, leftPath, bytes)).toBe('readable');
  });
});

async function listedWith(at: Home, path: string, bytes: Buffer): Promise<string> {
  writeFileSync(path, bytes);
  await using sessions = await at.open();
  const [row] = await sessions.list();
  return row!.unreadable ? 'unreadable' : 'readable';
}

function flipped(bytes: Buffer, offset: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[offset]! ^= 1 << (offset % 8);
  return changed;
}
