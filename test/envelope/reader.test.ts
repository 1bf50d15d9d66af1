import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VaultKey } from '../../src/envelope/key.ts';
import {
  contentOf,
  PYTHON,
  READER,
  type RefusedVector,
  readVectors,
  requirePython,
  SealedFile,
  VECTORS,
  type Vector,
} from './support.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coffer-reader-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs docs/read_vault.py on a file, with the key on its standard input. */
function read(file: Uint8Array, key: string): Answer {
  const path = join(folder, 'file');
  writeFileSync(path, file);
  return spawnSync(PYTHON, [READER, '-', path], { input: key, encoding: 'utf8' });
}

function expectRefused(answer: Answer): void {
  expect(answer.stdout).toBe('');
  expect(answer.stderr).toMatch(/^read_vault: [^\n]+\n$/);
  expect(answer.status).toBe(1);
}

describe('docs/read_vault.py', () => {
  const key = VaultKey.generate();
  const hex = key.bytes().toString('hex');
  const lines = [
    `{"id":1,"text":"${randomBytes(40_000).toString('base64')}"}\n`,
    Array.from({ length: 500 }, (_, index) => `{"id":${index + 2}}\n`).join(''),
    '{"id":502,"text":"ü🦊"}\n',
  ];
  const file = new SealedFile(key, lines.map(contentOf));
  const bytes = Buffer.concat([file.header, ...file.frames]);

  it('has at most 60 lines', () => {
    const count = readFileSync(READER, 'utf8').trimEnd().split('\n').length;
    expect(count).toBeLessThanOrEqual(60);
    expect(count).toBeGreaterThan(20);
  });

  it('prints the events of every fixed vector', (context) => {
    requirePython(context);
    for (const [name, vector] of readVectors<Vector>(join(VECTORS, 'opened'))) {
      const answer = read(Buffer.from(vector.file, 'base64'), vector.key);
      const events = vector.frames.map((frame) => frame.events).join('');
      expect({ name, ...answer }).toMatchObject({ name, status: 0, stdout: events, stderr: '' });
    }
  });

  it('refuses every fixed vector that must not open', (context) => {
    requirePython(context);
    const vectors = readVectors<RefusedVector>(join(VECTORS, 'refused'));
    expect(vectors).toHaveLength(17);
    for (const [, vector] of vectors) expectRefused(read(Buffer.from(vector.file, 'base64'), vector.key));
  });

  it('prints the events of a file that coffer sealed', (context) => {
    requirePython(context);
    expect(read(bytes, hex)).toMatchObject({ status: 0, stdout: lines.join(''), stderr: '' });
  });

  it('reads the key from a file, as hex or base64', (context) => {
    requirePython(context);
    const [keyFile, path] = [join(folder, 'key'), join(folder, 'file')];
    writeFileSync(path, bytes);
    for (const text of [
      hex,
      `${hex.toUpperCase()}\n`,
      key.bytes().toString('base64'),
      `${key.bytes().toString('base64')}\n`,
    ]) {
      writeFileSync(keyFile, text, { mode: 0o600 });
      const answer = spawnSync(PYTHON, [READER, keyFile, path], { encoding: 'utf8' });
      expect(answer).toMatchObject({ status: 0, stdout: lines.join('') });
    }
  });

  it('refuses another key, a malformed key and a missing file', (context) => {
    requirePython(context);
    expect(read(bytes, VaultKey.generate().bytes().toString('hex')).stderr).toContain('needs another key');
    for (const wrong of ['', hex.slice(2), `${hex}00`, 'secret']) {
      const answer = read(bytes, wrong);
      expectRefused(answer);
      if (wrong) expect(answer.stderr).not.toContain(wrong);
    }
    expectRefused(spawnSync(PYTHON, [READER, '-', join(folder, 'nothing')], { input: hex, encoding: 'utf8' }));
  });

  it('refuses a file that is changed, cut off in its first frame or followed by other bytes', (context) => {
    requirePython(context);
    const first = 52 + file.frames[0]!.length;
    for (const offset of [
      0,
      8,
      9,
      11,
      12,
      30,
      51,
      52,
      56,
      80,
      112,
      20_000,
      first - 1,
      first,
      first + 70,
      bytes.length - 1,
    ]) {
      const changed = Buffer.from(bytes);
      changed[offset]! ^= 0x40;
      expectRefused(read(changed, hex));
    }
    for (const length of [0, 40, 52, 100, 112, 10_000, first - 1]) expectRefused(read(bytes.subarray(0, length), hex));
    for (const more of [randomBytes(70), Buffer.alloc(20, 0xff)]) {
      expectRefused(read(Buffer.concat([bytes, more]), hex));
    }
    expectRefused(read(Buffer.concat([file.header, file.frames[1]!]), hex));
  });

  it('refuses a file of one frame if its head is changed anywhere', (context) => {
    requirePython(context);
    for (const offset of [52, 55, 56, 79, 80, 111]) {
      const changed = Buffer.from(bytes.subarray(0, 52 + file.frames[0]!.length));
      changed[offset]! ^= 1;
      expectRefused(read(changed, hex));
    }
  });

  it('skips a step that was never finished, and reports it', (context) => {
    requirePython(context);
    const two = 52 + file.frames[0]!.length + file.frames[1]!.length;
    const torn = [two + 3, two + 59, two + 60, bytes.length - 1].map((length) => bytes.subarray(0, length));
    torn.push(Buffer.concat([bytes.subarray(0, two), Buffer.alloc(200)]));
    for (const cut of torn) {
      const answer = read(cut, hex);
      expect(answer).toMatchObject({ status: 0, stdout: lines.slice(0, 2).join('') });
      expect(answer.stderr).toMatch(/^read_vault: frame 2 was never finished and is left out\n$/);
    }
  });
});
