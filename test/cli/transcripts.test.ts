import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commandDocs, slashDocs } from '../../tools/docs-program.ts';
import { PROGRAM } from '../support/program.ts';
import { FakeTerminal, runHere } from '../terminal/fake-terminal.ts';
import { compare, type Exchange, parseTranscript, type Seen } from './transcript.ts';

const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.txt'));

let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coffer-transcript-'));
  for (const name of ['project', 'config', 'credentials']) await mkdir(join(folder, name));
  await writeFile(join(folder, 'credentials/coffer-key'), randomBytes(32), { mode: 0o600 });
  await writeFile(join(folder, 'config/settings.json'), '{}', { mode: 0o600 });
  await writeFile(join(folder, 'taken'), 'somebody else\n');
  env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    COFFER_DATA_DIR: join(folder, 'vault'),
    COFFER_CONFIG_DIR: join(folder, 'config'),
    COFFER_KEYCHAIN: 'fd',
  };
});
afterEach(() => rm(folder, { recursive: true }));

describe.each(names)('%s', (name) => {
  const exchanges = parseTranscript(readFileSync(join(import.meta.dirname, name), 'utf8'));

  it('is what coffer does, the key on an inherited descriptor', async () => {
    for (const exchange of exchanges) check(exchange, await asProcess(exchange));
  });

  it('is what its commands do in this process, the key as a credential', async () => {
    for (const exchange of exchanges) check(exchange, await here(exchange));
  });
});

describe('the transcripts', () => {
  const all = names.flatMap((name) => parseTranscript(readFileSync(join(import.meta.dirname, name), 'utf8')));

  it('have every command, on the command line and in a chat', () => {
    const said = all.map(({ args }) => ['coffer', ...args].join(' '));
    const typed = all.flatMap(({ input }) => input.split('\n'));
    const has = (lines: readonly string[], name: string): boolean =>
      lines.some((line) => line === name || line.startsWith(`${name} `));
    const missing = commandDocs().filter(({ name }) => !has(said, name));
    const slash = slashDocs().map(([usage]) => usage.split(' ')[0] ?? '');
    expect(missing.map(({ name }) => name)).toEqual([]);
    expect(slash.filter((name) => name !== '//text' && !has(typed, name))).toEqual([]);
  });
});

describe('a transcript', () => {
  const [exchange] = parseTranscript('# hello\n$ coffer --model "demo/echo"\n< hi\n> echo: hi [id]\n! x\n? 10\n');

  it('says what to run and what must come of it', () => {
    const wanted = {
      line: 2,
      args: ['--model', 'demo/echo'],
      input: 'hi\n',
      out: ['echo: hi [id]'],
      err: ['x'],
      code: 10,
    };
    expect(exchange).toEqual(wanted);
    expect(() => parseTranscript('hello')).toThrow('line 1');
  });

  it.each([
    ['another line', { out: 'echo: ho 2025-07-04_12-30\n', err: 'x\n', code: 10 }],
    ['a line too many', { out: 'echo: hi 2025-07-04_12-30\nmore\n', err: 'x\n', code: 10 }],
    ['a line that is missing', { out: 'echo: hi 2025-07-04_12-30\n', err: '', code: 10 }],
    ['a line without its end', { out: 'echo: hi 2025-07-04_12-30\n', err: 'x\ny', code: 10 }],
    ['another exit code', { out: 'echo: hi 2025-07-04_12-30\n', err: 'x\n', code: 0 }],
    ['no id where one belongs', { out: 'echo: hi today\n', err: 'x\n', code: 10 }],
  ])('fails on %s', (_, seen) => {
    const { expected, actual } = compare(exchange as Exchange, seen, '/');
    expect(actual).not.toBe(expected);
  });
});

function check(exchange: Exchange, seen: Seen): void {
  const { expected, actual } = compare(exchange, seen, folder);
  expect(actual, `line ${exchange.line}`).toBe(expected);
}

/** `[dir]` in an argument is the folder of the test. */
function args(exchange: Exchange): string[] {
  return exchange.args.map((argument) => argument.replaceAll('[dir]', folder));
}

async function asProcess(exchange: Exchange): Promise<Seen> {
  const key = openSync(join(folder, 'credentials/coffer-key'), 'r');
  const child = spawn(process.execPath, [PROGRAM, ...args(exchange)], {
    cwd: join(folder, 'project'),
    env: { ...env, COFFER_KEY_FD: '3' },
    stdio: ['pipe', 'pipe', 'pipe', key],
  });
  closeSync(key);
  const [stdin, stdout, stderr] = child.stdio as unknown as [Writable, Readable, Readable];
  stdin.on('error', () => undefined); // a command that reads no input may be gone before it is written
  stdin.end(exchange.input);
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  const [out, err, code] = await Promise.all([text(stdout), text(stderr), ended]);
  return { out, err, code };
}

async function here(exchange: Exchange): Promise<Seen> {
  const fake = new FakeTerminal();
  fake.stdin.end(exchange.input);
  const paths = ['--path', join(folder, 'project')];
  const given = args(exchange);
  const { code } = await runHere(fake, given.includes('--path') ? given : [...paths, ...given], {
    ...env,
    CREDENTIALS_DIRECTORY: join(folder, 'credentials'),
  });
  return { out: fake.out, err: fake.err, code };
}
