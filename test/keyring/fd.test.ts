import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FdKeyring } from '../../src/keyring/fd.ts';
import { requireUnix } from '../support/keychain.ts';

// 0x0a at the end: raw, it must not be taken for a newline.
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
  ])('takes %s', async (_, content) => {
    const keyring = new FdKeyring({ CREDENTIALS_DIRECTORY: credential(content) });
    expect(await keyring.get()).toEqual({ outcome: 'READY', secret: SECRET });
    expect(await keyring.provider()).toBe('credential file');
  });

  it.each([
    ['nothing', '', 'the key that was brought is empty'],
    ['31 bytes', SECRET.subarray(1), 'what was brought is not a vault key'],
    ['hex that is too short', HEX.slice(2), 'what was brought is not a vault key'],
    ['two keys', `${HEX}\n${HEX}\n`, 'what was brought is not a vault key'],
    ['words', 'correct horse battery staple', 'what was brought is not a vault key'],
    ['something large', Buffer.alloc(1_000_000, 65), 'what was brought is not a vault key'],
  ])('answers MISMATCH for %s', async (_, content, detail) => {
    const keyring = new FdKeyring({ CREDENTIALS_DIRECTORY: credential(content) });
    expect(await keyring.get()).toEqual({ outcome: 'MISMATCH', detail });
    expect(await keyring.probe()).toEqual({ outcome: 'MISMATCH', detail });
  });

  it('answers ABSENT where nothing was brought', async () => {
    expect(FdKeyring.isGiven({})).toBe(false);
    expect(await new FdKeyring({}).get()).toMatchObject({ outcome: 'ABSENT' });
    expect(await new FdKeyring({ COFFER_KEY_FD: '' }).get()).toMatchObject({ outcome: 'ABSENT' });
  });

  it('answers ABSENT where what was brought cannot be read', async () => {
    const gone = new FdKeyring({ CREDENTIALS_DIRECTORY: join(tmpdir(), 'no such directory') });
    expect(await gone.get()).toEqual({ outcome: 'ABSENT', detail: expect.stringMatching(/ENOENT$/) });
    const closed = new FdKeyring({ COFFER_KEY_FD: '987654' });
    expect(await closed.get()).toEqual({ outcome: 'ABSENT', detail: 'descriptor 987654 cannot be read: EBADF' });
  });

  it('refuses a number that is no descriptor of a key', () => {
    for (const value of ['0', '2', '-1', '3x', ' 3', '1e3']) {
      expect(() => new FdKeyring({ COFFER_KEY_FD: value })).toThrow(expect.objectContaining({ code: 'USAGE' }));
    }
  });

  it('reads a descriptor once, closes it, and has the key for whoever asks later', async () => {
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

  it('takes a key from a pipe, in pieces', async (context) => {
    requireUnix(context);
    const reader = readerOf();
    const pipe = reader.stdio[3] as NodeJS.WritableStream;
    pipe.write(HEX.slice(0, 10), () => pipe.end(HEX.slice(10)));
    expect(await said(reader)).toBe(`READY ${HEX}`);
  });

  it('takes no more from a pipe than a key can be', async (context) => {
    requireUnix(context);
    const reader = readerOf();
    const pipe = reader.stdio[3] as NodeJS.WritableStream;
    pipe.on('error', () => 'the reader has hung up, as it should');
    pipe.write('x'.repeat(100_000));
    expect(await said(reader)).toBe('MISMATCH what was brought is not a vault key');
  });

  it('waits for no pipe for ever', async (context) => {
    requireUnix(context);
    const reader = readerOf();
    expect(await said(reader)).toBe('TIMEOUT descriptor 3 is held open and gives no key');
  });
});

function credential(content: string | Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-key-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'coffer-key'), content);
  return directory;
}

/** A process of its own whose descriptor 3 is a pipe: here it would be read once for all tests. */
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
