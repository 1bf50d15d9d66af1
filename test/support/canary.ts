import { randomBytes } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from 'node:zlib';

/**
 * A finding: the file, and the form in which the text occurs in it (`hex`, `zstd at 212, then
 * utf8`).
 */
export interface Finding {
  path: string;
  as: string;
}

/**
 * Maximum size of a decompressed stream found by its magic number; a wrong guess must not fill the
 * memory.
 */
const LARGEST = 64 * 1024 * 1024;

/**
 * Maximum size of a file that is also tried, from every offset, as the formats without a magic
 * number.
 */
const EVERY_OFFSET = 96 * 1024;

/**
 * The first bytes of a file of Node's compile cache: there are hundreds of them, made only from
 * source text, so they aren't tried from every offset.
 */
const COMPILE_CACHE = Buffer.from('b2dbdf8a', 'hex');

/**
 * Returns a text that occurs nowhere by chance: 24 letters, so that it reads the same in any text
 * encoding.
 */
export function newCanary(): string {
  return `kanarie${[...randomBytes(17)].map((byte) => String.fromCharCode(97 + (byte % 26))).join('')}`;
}

/**
 * Searches whole directories for a text: names of files and folders, targets of links, and the
 * bytes of every file, as they are and decompressed where possible. Returns every finding.
 */
export async function searchFor(canary: string, directories: readonly string[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const directory of directories) await searchDirectory(canary, directory, findings);
  return findings;
}

/**
 * Searches bytes, and everything in them that decompresses, for a text; returns the forms in which
 * it occurs.
 */
export function searchBytes(canary: string, bytes: Buffer): string[] {
  const found = searchPlain(canary, bytes);
  for (const { name, offset, content } of streamsIn(bytes)) {
    found.push(...searchPlain(canary, content).map((as) => `${name} at ${offset}, then ${as}`));
    for (const inner of markedStreamsIn(content)) {
      const path = `${name} at ${offset}, ${inner.name} at ${inner.offset}`;
      found.push(...searchPlain(canary, inner.content).map((as) => `${path}, then ${as}`));
    }
  }
  return found;
}

async function searchDirectory(canary: string, directory: string, findings: Finding[]): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (name.includes(canary)) findings.push({ path, as: 'its name' });
    const stats = await lstat(path);
    if (stats.isDirectory()) await searchDirectory(canary, path, findings);
    else if (stats.isSymbolicLink()) {
      if ((await readlink(path)).includes(canary)) findings.push({ path, as: 'its target' });
    } else if (stats.isFile()) {
      const found = searchBytes(canary, await readFile(path));
      findings.push(...found.map((as) => ({ path, as })));
    }
  }
}

function searchPlain(canary: string, bytes: Buffer): string[] {
  return formsOf(canary)
    .filter(({ form }) => bytes.includes(form))
    .map(({ as }) => as);
}

function formsOf(canary: string): { as: string; form: Buffer }[] {
  const utf8 = Buffer.from(canary);
  const utf16 = Buffer.from(canary, 'utf16le');
  const hex = utf8.toString('hex');
  return [
    { as: 'utf8', form: utf8 },
    { as: 'utf16le', form: utf16 },
    { as: 'utf16be', form: Buffer.from(utf16).swap16() },
    { as: 'hex', form: Buffer.from(hex) },
    { as: 'hex', form: Buffer.from(hex.toUpperCase()) },
    { as: 'reversed', form: Buffer.from(utf8).reverse() },
    ...[0, 1, 2].map((shift) => ({ as: 'base64', form: base64Within(utf8, shift) })),
  ];
}

/**
 * Returns the base64 digits of a text that starts `shift` bytes into a group of three, without the
 * digits that it shares with its neighbours.
 */
function base64Within(text: Buffer, shift: number): Buffer {
  const digits = Buffer.concat([Buffer.alloc(shift), text])
    .toString('base64')
    .replace(/=+$/, '');
  const first = Math.ceil((shift * 8) / 6);
  const last = Math.floor(((shift + text.length) * 8) / 6);
  return Buffer.from(digits.slice(first, last));
}

interface Stream {
  name: string;
  offset: number;
  content: Buffer;
}

function* streamsIn(bytes: Buffer): Generator<Stream> {
  yield* markedStreamsIn(bytes);
  if (bytes.length > EVERY_OFFSET || bytes.subarray(0, COMPILE_CACHE.length).equals(COMPILE_CACHE)) return;
  for (let offset = 0; offset < bytes.length; offset++) {
    for (const { name, decompress } of unmarked) {
      const content = attempt(decompress, bytes.subarray(offset));
      if (content) yield { name, offset, content };
    }
  }
}

function* markedStreamsIn(bytes: Buffer): Generator<Stream> {
  for (const { name, magics, decompress } of marked) {
    for (const magic of magics) {
      for (let offset = bytes.indexOf(magic); offset !== -1; offset = bytes.indexOf(magic, offset + 1)) {
        const content = attempt(decompress, bytes.subarray(offset));
        if (content) yield { name, offset, content };
      }
    }
  }
}

type Decompress = (bytes: Buffer, options: { maxOutputLength: number }) => Buffer;

const marked: readonly { name: string; magics: readonly Buffer[]; decompress: Decompress }[] = [
  { name: 'zstd', magics: [Buffer.from('28b52ffd', 'hex')], decompress: zstdDecompressSync },
  { name: 'gzip', magics: [Buffer.from('1f8b08', 'hex')], decompress: gunzipSync },
  {
    name: 'deflate',
    magics: ['7801', '785e', '789c', '78da'].map((hex) => Buffer.from(hex, 'hex')),
    decompress: inflateSync,
  },
];

const unmarked: readonly { name: string; decompress: Decompress }[] = [
  { name: 'brotli', decompress: brotliDecompressSync },
  { name: 'raw deflate', decompress: inflateRawSync },
];

function attempt(decompress: Decompress, bytes: Buffer): Buffer | undefined {
  try {
    return decompress(bytes, { maxOutputLength: LARGEST });
  } catch {
    // Not a stream of that kind: most candidates aren't.
    return undefined;
  }
}
