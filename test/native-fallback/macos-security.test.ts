import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  addLine,
  deleteLine,
  findLine,
  probe,
  read,
  readingOf,
  remove,
  type SecurityTerms,
  write,
} from '../../native-fallback/macos-security.ts';
import { requireUnix } from '../support/keychain.ts';

const ITEM = { service: 'coffer', account: '00112233445566778899aabbccddeeff' };
const NODE = '/usr/local/bin/node';

describe('the commands for security', () => {
  it('find, add and delete keytar’s item', () => {
    expect(findLine(ITEM)).toBe('find-generic-password -s coffer -a 00112233445566778899aabbccddeeff -w');
    expect(addLine(ITEM, 'c2VjcmV0+/==', NODE)).toBe(
      'add-generic-password -U -s coffer -a 00112233445566778899aabbccddeeff ' +
        '-l coffer/00112233445566778899aabbccddeeff -T /usr/bin/security -T /usr/local/bin/node -w c2VjcmV0+/==',
    );
    expect(deleteLine(ITEM)).toBe('delete-generic-password -s coffer -a 00112233445566778899aabbccddeeff');
  });

  it('name a keychain file if one is given', () => {
    expect(findLine(ITEM, '/tmp/a b.keychain')).toMatch(/ -w "\/tmp\/a b\.keychain"$/);
    expect(deleteLine(ITEM, '/tmp/x.keychain')).toMatch(/ \/tmp\/x\.keychain$/);
  });

  it('quote words with spaces, quotes and backslashes', () => {
    expect(addLine(ITEM, 'x', '/My "Apps"/no\\de')).toContain(' -T "/My \\"Apps\\"/no\\\\de" ');
    expect(findLine({ ...ITEM, account: '' })).toContain(' -a "" ');
  });

  it('are never split into two', () => {
    expect(() => findLine({ ...ITEM, account: 'x\ndelete-keychain' })).toThrow(RangeError);
    expect(() => addLine(ITEM, 'x\r', NODE)).toThrow(RangeError);
  });

  it('are shorter than the buffer of security', () => {
    expect(addLine(ITEM, 'x'.repeat(3_000), NODE).length).toBeLessThan(4_095);
    expect(() => addLine(ITEM, 'x'.repeat(4_000), NODE)).toThrow(RangeError);
  });
});

describe('readingOf', () => {
  it.each([
    [0, '', 'READY'],
    [44, '', 'NOT_FOUND'],
    [36, '', 'LOCKED'],
    [128, '', 'DECLINED'],
    [51, '', 'DECLINED'],
    [37, '', 'ABSENT'],
    [50, '', 'ABSENT'],
    [53, '', 'ABSENT'],
    [1, '', 'DECLINED'],
    [0, 'find-generic-password: returned 44', 'NOT_FOUND'],
    [0, 'find-generic-password: returned -25308', 'LOCKED'],
  ])('maps exit code %i and %j to %s', (code, stderr, outcome) => {
    expect(readingOf({ code, stdout: 'x\n', stderr })).toMatchObject({ outcome });
  });

  it('removes one newline from the secret', () => {
    expect(readingOf({ code: 0, stdout: 'secret\n\n', stderr: '' })).toEqual({ outcome: 'READY', text: 'secret\n' });
  });

  it('recognises a missing program and a late one', () => {
    expect(readingOf({ missing: 'ENOENT' })).toMatchObject({ outcome: 'ABSENT' });
    expect(readingOf({ late: true })).toMatchObject({ outcome: 'TIMEOUT' });
  });
});

describe('security, with a stand-in', () => {
  it('stores, replaces, reads and deletes an item', async (context) => {
    requireUnix(context);
    const terms = standIn(KEEPER);
    expect(await probe(terms)).toMatchObject({ outcome: 'READY' });
    expect(await read(terms, ITEM)).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await write(terms, ITEM, 'one')).toMatchObject({ outcome: 'READY' });
    expect(await write(terms, ITEM, 'dHdv+/==')).toMatchObject({ outcome: 'READY' });
    expect(await read(terms, ITEM)).toEqual({ outcome: 'READY', text: 'dHdv+/==' });
    expect(await remove(terms, ITEM)).toMatchObject({ outcome: 'READY' });
    expect(await remove(terms, ITEM)).toMatchObject({ outcome: 'NOT_FOUND' });
  });

  it('reports no write that stored nothing', async (context) => {
    requireUnix(context);
    expect(await write(standIn('process.stdin.resume(); console.log("")'), ITEM, 'one')).toMatchObject({
      outcome: 'DECLINED',
    });
  });

  it('reports why nothing was written, and why it does not read back', async (context) => {
    requireUnix(context);
    expect(await write(standIn('process.exitCode = 36'), ITEM, 'one')).toMatchObject({ outcome: 'LOCKED' });
    const forgets = standIn(`${KEEPER}; if (command.startsWith('find')) process.exitCode = 44;`);
    expect(await write(forgets, ITEM, 'one')).toMatchObject({ outcome: 'NOT_FOUND' });
    expect(await probe(standIn('process.exitCode = 37'))).toMatchObject({ outcome: 'ABSENT' });
  });

  it('is killed if it is late, and absent if it is missing', async (context) => {
    requireUnix(context);
    const late = { ...standIn('setInterval(() => undefined, 1000)'), milliseconds: 300 };
    expect(await read(late, ITEM)).toMatchObject({ outcome: 'TIMEOUT' });
    expect(await read({ ...late, executable: '/no/such/security' }, ITEM)).toMatchObject({ outcome: 'ABSENT' });
  });
});

/**
 * Keeps one item in a file next to itself, and records its arguments and input like the real
 * program.
 */
const KEEPER = `
  const fs = require('node:fs');
  const kept = __filename + '.kept';
  if (process.argv.slice(2).join(' ') !== '-i') throw new Error('arguments');
  const command = fs.readFileSync(0, 'utf8').trim();
  const [verb] = command.split(' ');
  if (verb === 'add-generic-password') fs.writeFileSync(kept, / -w (\\S+)/.exec(command)[1]);
  else if (verb !== 'default-keychain' && !fs.existsSync(kept)) process.exitCode = 44;
  else if (verb === 'find-generic-password') console.log(fs.readFileSync(kept, 'utf8'));
  else if (verb === 'delete-generic-password') fs.rmSync(kept)`;

function standIn(script: string): SecurityTerms {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-security-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const executable = join(directory, 'security.cjs');
  writeFileSync(executable, `#!${process.execPath}\n${script}`);
  chmodSync(executable, 0o755);
  return { executable, milliseconds: 15_000 };
}
