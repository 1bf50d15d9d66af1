import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  ({ folder, env } = await makeFolder());
  const chat = new FakeTerminal();
  chat.stdin.end('hello\n');
  expect((await runHere(chat, ['--model', 'demo/echo'], env)).code).toBe(0);
});
afterEach(() => rmSync(folder, { recursive: true }));

function slots(): { kind: string; salt: string }[] {
  return JSON.parse(readFileSync(join(folder, 'vault/vault.json'), 'utf8')).slots;
}

/** Asks for a recovery code, and gives what was shown. */
async function ask(fake: FakeTerminal): Promise<string> {
  const [code] = await fake.waitFor(/(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}(?=.*type it back: $)/s);
  return code;
}

describe('coffer key recovery-code', () => {
  it('adds nothing until the code is typed back correctly', async () => {
    const fake = new FakeTerminal({ tty: true });
    const made = runHere(fake, ['key', 'recovery-code'], env);
    const code = await ask(fake);
    fake.type(`${code.replace(code.charAt(0), code.startsWith('A') ? 'B' : 'A')}\r`);
    await fake.waitFor(/mistyped, or two are swapped; try again\n.*type it back: $/s);
    expect(slots()).toEqual([]);
    fake.type(`${code}\r`);
    expect((await made).code).toBe(0);
    expect(slots()).toMatchObject([{ kind: 'recovery' }]);
    expect(fake.shown.split(code)).toHaveLength(2);
    expect(fake.out).toMatch(/recovery code added as slot [0-9a-f]{8}; coffer recover asks for it/);
  });

  it('adds nothing at the end of input', async () => {
    const fake = new FakeTerminal({ tty: true });
    const made = runHere(fake, ['key', 'recovery-code'], env);
    await ask(fake);
    fake.type('\u0004');
    expect(await made).toMatchObject({ code: 1, error: { code: 'CANCELLED' } });
    expect(slots()).toEqual([]);
  });
});

describe('coffer key', () => {
  it('adds a passphrase that is asked for twice, lists it, and removes it', async () => {
    const fake = new FakeTerminal({ tty: true });
    const added = runHere(fake, ['key', 'add-passphrase'], env);
    await fake.waitFor(/new passphrase: $/);
    fake.type('correct horse\r');
    await fake.waitFor(/repeat passphrase: $/);
    fake.type('correct horse\r');
    expect((await added).code).toBe(0);
    expect(fake.shown).not.toMatch(/correct|horse/);
    const [, id = ''] = /passphrase added as slot ([0-9a-f]{8})/.exec(fake.out) ?? [];

    const list = new FakeTerminal();
    expect((await runHere(list, ['key', 'list', '--json'], env)).code).toBe(0);
    expect(JSON.parse(list.out)).toMatchObject({ backend: 'fd', slots: [{ id, kind: 'passphrase' }] });

    const remove = new FakeTerminal();
    expect((await runHere(remove, ['key', 'remove', id], env)).code).toBe(0);
    expect(remove.out).toBe(`slot ${id} removed (passphrase)\n`);
    expect(remove.err).toMatch(/an older copy of vault.json.*with that passphrase; coffer key rotate/);
    expect(slots()).toEqual([]);
  });

  it('removes nothing if the key is no longer passed in', async () => {
    const add = new FakeTerminal();
    add.stdin.end('correct horse\n');
    expect((await runHere(add, ['key', 'add-passphrase'], env)).code).toBe(0);
    const [, id = ''] = /slot ([0-9a-f]{8})/.exec(add.out) ?? [];
    rmSync(join(folder, 'coffer-key'));
    const remove = new FakeTerminal();
    const refused = await runHere(remove, ['key', 'remove', id], env);
    expect(refused).toMatchObject({ code: 12, error: { code: 'KEY_ABSENT' } });
    expect(slots()).toHaveLength(1);
  });

  it('shows a rotation that is not finished', async () => {
    const path = join(folder, 'vault/vault.json');
    const retiring = 'b'.repeat(32);
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), retiring }));
    const list = new FakeTerminal();
    expect((await runHere(list, ['key', 'list'], env)).code).toBe(0);
    expect(list.out).toContain(`  it is replacing ${retiring}; coffer key rotate finishes that\n`);
  });
});

describe('a vault.json that is not one', () => {
  it.for<[string, (path: string) => void, number]>([
    ['of a newer version', (path) => writeFileSync(path, '{"format":2}'), 13],
    ['damaged', (path) => writeFileSync(path, '{"format":1'), 13],
    ['a link', (path) => symlinkSync('/etc/hostname', path), 13],
    ['a directory', (path) => mkdirSync(path), 13],
    ['a FIFO', (path) => execFileSync('mkfifo', [path]), 13],
  ])('ends every command in one line, nothing changed: %s', async ([, put, code], context) => {
    requirePosix(context);
    const path = join(folder, 'vault/vault.json');
    rmSync(path);
    put(path);
    const before = lstatSync(path);
    const commands = [['key', 'list'], ['key', 'add-passphrase'], ['key', 'remove', '01234567'], ['recover']];
    for (const args of commands) {
      const fake = new FakeTerminal();
      fake.stdin.end('correct horse\n');
      expect((await runHere(fake, args, env)).code).toBe(code);
      expect(fake.shown).toMatch(/^coffer: .*vault\.json.*\n$/);
    }
    const terminal = new FakeTerminal({ tty: true });
    expect((await runHere(terminal, ['key', 'recovery-code'], env)).code).toBe(code);
    expect(lstatSync(path)).toMatchObject({ ino: before.ino, mode: before.mode, mtimeMs: before.mtimeMs });
  });
});

describe('coffer recover', () => {
  beforeEach(async () => {
    const add = new FakeTerminal();
    add.stdin.end('correct horse\n');
    expect((await runHere(add, ['key', 'add-passphrase'], env)).code).toBe(0);
    env['COFFER_KEYCHAIN'] = 'passphrase';
  });

  it('asks on a terminal without showing what is typed, says what was wrong, and then opens with it', async () => {
    const fake = new FakeTerminal({ tty: true });
    const recovered = runHere(fake, ['recover'], env);
    await fake.waitFor(/recovery code or passphrase: $/);
    fake.type('battery staple\r');
    await fake.waitFor(/wrong passphrase\n.*recovery code or passphrase: $/s);
    fake.type('correct horse\r');
    expect((await recovered).code).toBe(0);
    expect(fake.out).toContain('the vault now opens with that passphrase, not from a keychain\n');
    expect(fake.out).toContain('1 of 1 sessions and snapshots can be opened\n');
    expect(fake.shown).not.toMatch(/battery|staple|correct|horse/);
  });

  it('reads the first line of a pipe and no other', async () => {
    const fake = new FakeTerminal();
    fake.stdin.end('wrong\ncorrect horse\n');
    expect(await runHere(fake, ['recover'], env)).toMatchObject({ code: 12, error: { code: 'PASSPHRASE_WRONG' } });
    const right = new FakeTerminal();
    right.stdin.end('correct horse\n');
    expect((await runHere(right, ['recover'], env)).code).toBe(0);
  });

  it('does not ask if the question would not be seen', async () => {
    const fake = new FakeTerminal();
    Object.assign(fake.stdin, { isTTY: true });
    expect(await runHere(fake, ['recover'], env)).toMatchObject({ code: 12, error: { code: 'KEY_ABSENT' } });
  });
});
