import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  blobPath,
  type DpapiTerms,
  powershellArguments,
  powershellInput,
  powershellPath,
  probe,
  read,
  readingOf,
  remove,
  write,
} from '../../native-fallback/windows-dpapi.ts';
import { requireUnix } from '../support/keychain.ts';

const ITEM = { service: 'coffer', account: '00112233445566778899aabbccddeeff' };

describe('the call of PowerShell', () => {
  it('uses its absolute path', () => {
    expect(powershellPath({ SystemRoot: 'D:\\Win' })).toBe(
      'D:\\Win\\System32\\WindowsPowerShell\\v1.0\\powershell.exe',
    );
    expect(powershellPath({})).toBe('C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe');
  });

  it('passes a constant script, for the current user, as arguments', () => {
    const args = powershellArguments('Protect');
    expect(args.slice(0, -1)).toEqual(['-NoLogo', '-NoProfile', '-NonInteractive', '-EncodedCommand']);
    const script = Buffer.from(args.at(-1) as string, 'base64').toString('utf16le');
    expect(script).toContain("[Security.Cryptography.ProtectedData]::Protect($bytes, $bound, 'CurrentUser')");
    expect(script.match(/\[Console\]::In\.ReadLine\(\)/g)).toHaveLength(2);
    expect(powershellArguments('Unprotect').at(-1)).not.toBe(args.at(-1));
  });

  it('passes the bytes and the item that they are bound to as input', () => {
    const [bytes, bound, ...others] = powershellInput(Buffer.from('secret'), ITEM).split('\n');
    expect(Buffer.from(bytes as string, 'base64').toString()).toBe('secret');
    expect(Buffer.from(bound as string, 'base64').toString()).toBe(`coffer/${ITEM.account}`);
    expect(others).toEqual(['']);
  });
});

describe('readingOf', () => {
  it.each([
    [{ code: 0, stdout: 'AAEC\r\n', stderr: '' }, 'READY'],
    [{ code: 0, stdout: '', stderr: '' }, 'DECLINED'],
    [{ code: 0, stdout: 'Windows PowerShell says hello', stderr: '' }, 'DECLINED'],
    [{ code: 1, stdout: 'AAEC', stderr: '' }, 'DECLINED'],
    [{ missing: 'ENOENT' }, 'ABSENT'],
    [{ late: true as const }, 'TIMEOUT'],
  ])('maps %j to %s', (reply, outcome) => {
    expect(readingOf(reply)).toMatchObject({ outcome });
  });
});

describe('blobPath', () => {
  it('refuses an account that leads elsewhere', () => {
    expect(blobPath('/keys', ITEM)).toBe(join('/keys', `${ITEM.account}.dpapi`));
    for (const account of ['', '../x', 'a/b', 'a\\b', 'x'.repeat(65)]) {
      expect(() => blobPath('/keys', { ...ITEM, account })).toThrow(RangeError);
    }
  });
});

describe('DPAPI, with a stand-in', () => {
  it('stores, replaces, reads and deletes an item, in a private file', async (context) => {
    requireUnix(context);
    const terms = standIn(SEALER);
    expect(await probe(terms)).toMatchObject({ outcome: 'READY' });
    expect(await read(terms, ITEM)).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await write(terms, ITEM, 'one')).toMatchObject({ outcome: 'READY' });
    expect(await write(terms, ITEM, 'two')).toMatchObject({ outcome: 'READY' });
    expect(await read(terms, ITEM)).toEqual({ outcome: 'READY', text: 'two' });
    expect(readdirSync(terms.directory)).toEqual([`${ITEM.account}.dpapi`]);
    expect(statSync(blobPath(terms.directory, ITEM)).mode & 0o777).toBe(0o600);
    expect(statSync(terms.directory).mode & 0o777).toBe(0o700);
    expect(readFileSync(blobPath(terms.directory, ITEM), 'utf8')).not.toContain('two');
    expect(await remove(terms, ITEM)).toMatchObject({ outcome: 'READY' });
    expect(await remove(terms, ITEM)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it('refuses a file that was sealed for another key', async (context) => {
    requireUnix(context);
    const terms = standIn(SEALER);
    const other = { ...ITEM, account: 'ff112233445566778899aabbccddeeff' };
    await write(terms, ITEM, 'one');
    writeFileSync(blobPath(terms.directory, other), readFileSync(blobPath(terms.directory, ITEM)));
    expect(await read(terms, other)).toMatchObject({ outcome: 'DECLINED' });
  });

  it('reports no write that reads back differently, or not at all', async (context) => {
    requireUnix(context);
    expect(await write(standIn('console.log("AAEC")'), ITEM, 'one')).toMatchObject({ outcome: 'DECLINED' });
    const sealsOnly = `${SEALER}; if (script.includes('Unprotect')) process.exitCode = 1`;
    expect(await write(standIn(sealsOnly), ITEM, 'one')).toMatchObject({ outcome: 'DECLINED' });
    expect(await write(standIn('process.exitCode = 1'), ITEM, 'one')).toMatchObject({ outcome: 'DECLINED' });
  });

  it('returns MISMATCH for a file that is too large to be ours', async (context) => {
    requireUnix(context);
    const terms = standIn(SEALER);
    mkdirSync(terms.directory);
    writeFileSync(blobPath(terms.directory, ITEM), Buffer.alloc(17 * 1024));
    expect(await read(terms, ITEM)).toMatchObject({ outcome: 'MISMATCH' });
  });

  it('reports why a file cannot be read or written, and leaves no other behind', async (context) => {
    requireUnix(context);
    const terms = standIn(SEALER);
    mkdirSync(blobPath(terms.directory, ITEM), { recursive: true });
    expect(await read(terms, ITEM)).toMatchObject({ outcome: 'DECLINED', detail: expect.stringMatching(/EISDIR$/) });
    const written = await write(terms, ITEM, 'one');
    expect(written).toMatchObject({ outcome: 'DECLINED', detail: expect.stringMatching(/cannot be written/) });
    expect(readdirSync(terms.directory)).toEqual([`${ITEM.account}.dpapi`]);
  });

  it('is absent if PowerShell is missing', async (context) => {
    requireUnix(context);
    const { executable: _, ...terms } = standIn(SEALER);
    expect(await probe(terms)).toMatchObject({ outcome: 'ABSENT' });
    expect(await write(terms, ITEM, 'one')).toMatchObject({ outcome: 'ABSENT' });
  });
});

/**
 * Seals by inverting every bit and appending what it is bound to: enough to see which way the bytes
 * went.
 */
const SEALER = `
  const fs = require('node:fs');
  const script = Buffer.from(process.argv.at(-1), 'base64').toString('utf16le');
  const [bytes, bound] = fs.readFileSync(0, 'utf8').split('\\n').map((line) => Buffer.from(line, 'base64'));
  const turned = (all) => Buffer.from(all.map((byte) => byte ^ 0xff));
  const opened = turned(bytes);
  if (script.includes('::Protect')) console.log(turned(Buffer.concat([bound, bytes])).toString('base64'));
  else if (opened.indexOf(bound) === 0) console.log(opened.subarray(bound.length).toString('base64'));
  else process.exitCode = 1`;

function standIn(script: string): DpapiTerms {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-dpapi-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const executable = join(directory, 'powershell.cjs');
  writeFileSync(executable, `#!${process.execPath}\n${script}`);
  chmodSync(executable, 0o755);
  return { executable, env: {}, directory: join(directory, 'keys'), milliseconds: 15_000 };
}
