import { execFileSync } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/*
 * Common practice, as a program that takes coffer's arguments: one key under one name, and each way
 * to get it is wrong.
 *
 *   another-key   keytar in its own process; if that returns nothing, or throws, a new key is set
 *   on-path       the key comes from whatever is called secret-tool on PATH
 *   in-a-file     a new key goes to secret-tool through a file that is left there
 *   in-arguments  a new key is an argument of a program on its way to the keychain
 */

const [, , way, command] = process.argv;
const directory = process.env['COFFER_DATA_DIR']!;
const sessions = join(directory, 'sessions');

if (command === 'opened') {
  const { texts, error } = readAll(await theKey());
  process.stdout.write(JSON.stringify({ texts: texts.map((text) => text.split(' ')[0]), error }));
} else if (command === 'sessions' || command === 'export') {
  const { texts, error } = readAll(await theKey());
  process.stdout.write(`saved sessions (${texts.length})\n${texts.join('\n')}\n${error ?? ''}\n`);
} else {
  const key = await theKey();
  mkdirSync(sessions, { recursive: true });
  writeFileSync(join(directory, 'vault.json'), JSON.stringify({ key: 'the-key' }));
  for await (const line of createInterface({ input: process.stdin })) {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
    const sealed = Buffer.concat([cipher.update(line), cipher.final()]);
    const name = join(sessions, randomBytes(16).toString('hex'));
    writeFileSync(name, Buffer.concat([nonce, cipher.getAuthTag(), sealed]));
    process.stdout.write(`echo: ${line}\n`);
  }
}

function readAll(key: Buffer): { texts: string[]; error?: string } {
  const texts: string[] = [];
  let error: string | undefined;
  for (const name of readdirSync(sessions)) {
    try {
      const bytes = readFileSync(join(sessions, name));
      const opener = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 });
      opener.setAuthTag(bytes.subarray(12, 28));
      texts.push(Buffer.concat([opener.update(bytes.subarray(28)), opener.final()]).toString());
    } catch (cause) {
      error = String((cause as Error).message);
    }
  }
  return error === undefined ? { texts } : { texts, error };
}

function theKey(): Promise<Buffer> | Buffer {
  return way === 'another-key' ? keyOrAnother() : keyByProgram();
}

async function keyOrAnother(): Promise<Buffer> {
  const keytar = createRequire(import.meta.url)('keytar');
  const kept = await keytar.getPassword('coffer', 'the-key').catch(() => null);
  const key = Buffer.from(kept ?? '', 'base64');
  if (key.length === 32) return key;
  const another = randomBytes(32);
  await keytar.setPassword('coffer', 'the-key', another.toString('base64')).catch(() => undefined);
  return another;
}

function keyByProgram(): Buffer {
  const item = ['service', 'coffer', 'account', 'the-key', 'xdg:schema', 'org.freedesktop.Secret.Generic'];
  const tool = way === 'on-path' ? 'secret-tool' : '/usr/bin/secret-tool';
  try {
    return Buffer.from(execFileSync(tool, ['lookup', ...item], { encoding: 'utf8' }), 'base64');
  } catch {
    // It ends with 1 both if there is no such item and on every error.
    const another = randomBytes(32);
    const text = another.toString('base64');
    const store = [tool, 'store', '--label=key', ...item];
    if (way === 'in-a-file') writeFileSync(join(process.env['TMPDIR']!, 'key'), text);
    if (way !== 'in-arguments') execFileSync(tool, store.slice(1), { input: text });
    else execFileSync('/bin/sh', ['-c', 'key=$1; shift; printf %s "$key" | "$@"', 'sh', text, ...store]);
    return another;
  }
}
