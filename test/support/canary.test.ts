import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { newCanary, searchBytes, searchFor } from './canary.ts';

const canary = newCanary();
const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 7919) % 251));
const amid = (bytes: Buffer): Buffer => Buffer.concat([noise(101), bytes, noise(53)]);

describe('searchBytes', () => {
  it('finds nothing if the text is absent', () => {
    expect(searchBytes(canary, noise(4096))).toEqual([]);
    expect(searchBytes(canary, amid(gzipSync('something else')))).toEqual([]);
  });

  it.each(['utf8', 'utf16le', 'hex'] as const)('finds it as %s', (encoding) => {
    const form = encoding === 'hex' ? Buffer.from(Buffer.from(canary).toString('hex')) : Buffer.from(canary, encoding);
    expect(searchBytes(canary, amid(form))).toContain(encoding);
  });

  it.each([0, 1, 2])('finds it in base64, %i bytes into a group', (shift) => {
    const encoded = Buffer.from(`${'x'.repeat(shift)}${canary}, and more`).toString('base64');
    expect(searchBytes(canary, amid(Buffer.from(encoded)))).toContain('base64');
  });

  it.each([
    ['zstd', zstdCompressSync],
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['brotli', brotliCompressSync],
    ['raw deflate', deflateRawSync],
  ] as const)('finds it compressed with %s', (name, compress) => {
    const text = Buffer.from(`${'a line like any other\n'.repeat(20)}${canary}\n`);
    expect(searchBytes(canary, amid(compress(text)))).toContain(`${name} at 101, then utf8`);
  });

  it('finds it compressed twice', () => {
    const twice = gzipSync(amid(zstdCompressSync(Buffer.from(`${'again and '.repeat(20)}${canary}`))));
    expect(searchBytes(canary, amid(twice))).toContain('gzip at 101, zstd at 101, then utf8');
  });
});

describe('searchFor', () => {
  it('looks into folders, names and links', async () => {
    const root = await mkdtemp(join(tmpdir(), 'coffer-canary-'));
    try {
      await mkdir(join(root, 'a', canary), { recursive: true });
      await writeFile(join(root, 'a', canary, 'file'), `x${canary}`);
      await symlink(`/nowhere/${canary}`, join(root, 'link'));
      const found = await searchFor(canary, [root]);
      expect(found.map(({ as }) => as).sort()).toEqual(['its name', 'its target', 'utf8']);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
