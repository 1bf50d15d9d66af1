import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FdKeyring } from '../../src/keyring/fd.ts';
import { requireUnix } from '../support/keychain.ts';

// Ends with 0x0a, which must not be mistaken for a newline in a raw key.
const SECRET = Buffer.from([...randomBytes(31), 0x0a]);
const BASE64 = SECRET.toString('base64');
const HEX = SECRET.toString('hex');

describe('FdKeyring', () => {
  it.each([
    ['32 raw bytes', SECRET],
    ['32 raw bytes and a newline', Buffer.concat([SECRET, Buffer.from('\n')])],
    ['hex', HEX],
    ['hex in capitals and a newline', `${HEX.toUpperCase()}\n`],
    ['hex and the line end of Windows', `${HEX}\r\n`],
    ['base64', BASE64],
    ['base64 and a newline', `${BASE64}\n`],
  ])('accepts %s', async (_, content) => {
    const keyring = new FdKeyring({ CREDENTIALS_DIRECTORY: credential(content) });
    expect(await keyring.get()).toEqual({ outcome: 'READY', secret: SECRET });
    expect(await keyring.provider()).toBe('credential file');
  });

  it.each([
    ['nothing', '', 'the provided key is empty'],
    ['31 bytes', SECRET.subarray(1), 'the provided key is not a vault key'],
    ['hex that is too short', HEX.slice(2), 'the provided key is not a vault key'],
    ['two keys', `${HEX}\n${HEX}\n`, 'the provided key is not a vault key'],
    ['words', 'correct horse battery staple', 'the provided key is not a vault key'],
    ['something large', Buffer.alloc(1_000_000, 65), 'the provided key is not a vault key'],
  ])('returns MISMATCH for %s', async (_, content, detail) => {
    const keyring = new FdKeyring({ CREDENTIALS_DIRECTORY: credential(content) });
    expect(await keyring.get()).toEqual({ outcome: 'MISMATCH', detail });
    expect(await keyring.probe()).toEqual({ outcome: 'MISMATCH', detail });
  });

  it('returns ABSENT if no key was provided', async () => {
    expect(FdKeyring.isGiven({})).toBe(false);
    expect(await new FdKeyring({}).get()).toMatchObject({ outcome: 'ABSENT' });
    expect(await new FdKeyring({ COFFER_KEY_FD: '' }).get()).toMatchObject({ outcome: 'ABSENT' });
  });

  it('returns ABSENT if the provided key cannot be read', async () => {
    const gone = new FdKeyring({ CREDENTIALS_DIRECTORY: join(tmpdir(), 'no such directory') });
    expect(await gone.get()).toEqual({ outcome: 'ABSENT', detail: expect.stringMatching(/ENOENT$/) });
    const closed = new FdKeyring({ COFFER_KEY_FD: '987654' });
    expect(await closed.get()).toEqual({ outcome: 'ABSENT', detail: 'descriptor 987654 cannot be read: EBADF' });
  });

  it('refuses a number that cannot be a key descriptor', () => {
    for (const value of ['0', '2', '-1', '3x', ' 3', '1e3']) {
      expect(() => new FdKeyring({ COFFER_KEY_FD: value })).toThrow(expect.objectContaining({ code: 'USAGE' }));
    }
  });

  it('reads a descriptor once, closes it, and keeps the key for later calls', async () => {
    const fd = openSync(join(credential(HEX), 'coffer-key'), 'r');
    const env = { COFFER_KEY_FD: String(fd) };
    expect(FdKeyring.isGiven(env)).toBe(true);
    expect(await new FdKeyring(env).get()).toEqual({ outcome: 'READY', secret: SECRET });
    expect(() => fstatSync(fd)).toThrow('EBADF');
    expect(await new FdKeyring(env).get()).toEqual({ outcome: 'READY', secret: SECRET });
  });

  it('prefers the descriptor to the credential', async () => {
    const fd = openSync(join(credential(HEX), 'coffer-key'), 'r');
    const env = { COFFER_KEY_FD: String(fd), CREDENTIALS_DIRECTORY: credential('nothing of use') };
    const keyring = new FdKeyring(env);
    expect(await keyring.provider()).toBe('inherited descriptor');
    expect((await keyring.get()).outcome).toBe('READY');
  });

  it('reads a key from a pipe in pieces', async (context) => {
    requireUnix(context);
    const reader = readerOf();
    const pipe = reader.stdio[3] as NodeJS.WritableStream;
    pipe.write(HEX.slice(0, 10), () => pipe.end(HEX.slice(10)));
    expect(await said(reader)).toBe(`READY ${HEX}`);
  });

  it('reads no more from a pipe than the longest key', async (context) => {
    requireUnix(context);
    const reader = readerOf();
    const pipe = reader.stdio[3] as NodeJS.WritableStream;
    pipe.on('error', () => 'the reader has hung up, as it should');
    pipe.write('x'.repeat(100_000));
    expect(await said(reader)).toBe('MISMATCH the provided key is not a vault key');
  });

  it('does not wait for a silent pipe forever', async (context) => {
    requireUnix(context);
    const reader = readerOf();
    expect(await said(reader)).toBe('TIMEOUT descriptor 3 stays open, but no key arrives');
  });
});

function credential(content: string | Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-key-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'coffer-key'), content);
  return directory;
}

/**
 * Starts a separate process whose descriptor 3 is a pipe: in this process it could be read only
 * once for all tests.
 */
function readerOf(): ChildProcess {
  const script = `
    import { FdKeyring } from ${JSON.stringify(new URL('../../src/keyring/fd.ts', import.meta.url).href)};
    const found = await new FdKeyring({ COFFER_KEY_FD: '3' }).get();
    console.log(found.outcome, found.secret?.toString('hex') ?? found.detail);`;
  const args = ['--input-type=module', '-e', script];
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
}

async function said(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await new Promise((resolve) => child.once('close', resolve));
  (child.stdio[3] as { destroy?(): void }).destroy?.();
  return text.trim();
}
