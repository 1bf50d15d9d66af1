import { spawn } from 'node:child_process';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, it } from 'vitest';
import { RecoveryCode } from '../../src/keyring/recovery-code.ts';
import { requireStrace } from '../files/facilities.ts';
import { searchFor } from '../support/canary.ts';
import { conversation, makePlace, type Place, type Start } from '../support/coffer.ts';
import { type Bus, requireKeychain, startKeychain } from '../support/keychain.ts';
import { PROGRAM } from '../support/program.ts';

const HINT = 'no recovery code: coffer key recovery-code creates one';

/** A machine with its own folders and its own keychain. */
class Machine implements AsyncDisposable {
  readonly place: Place;
  readonly bus: Bus;
  /** Default options to start coffer there. */
  readonly usual: Start;

  constructor(place: Place, bus: Bus) {
    this.place = place;
    this.bus = bus;
    const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR } = bus.env;
    this.usual = {
      env: { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined },
    };
  }

  /** Folders that coffer or the keychain can have written to. */
  get folders(): string[] {
    const { data, config, temp, home } = this.place;
    return [data, config, temp, home, this.bus.directory];
  }

  vaultFile(): Promise<string> {
    return readFile(join(this.place.data, 'vault.json'), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place[Symbol.asyncDispose]();
    await this.bus[Symbol.asyncDispose]();
  }
}

async function machine(): Promise<Machine> {
  return new Machine(await makePlace(), await startKeychain());
}

/** Makes a machine with a vault, one exchange in it, and its recovery code. */
async function withCode(): Promise<{ at: Machine; code: string; screen: string }> {
  const at = await machine();
  const { place, usual } = at;
  const chat = await place.run(['--model', 'demo/echo'], { ...usual, input: 'hello\n' });
  expect(chat).toMatchObject({ code: 0, stdout: 'echo: hello\n' });
  expect((await place.run(['doctor'], usual)).stdout).toContain(HINT);
  await using asked = place.terminal(['key', 'recovery-code'], usual);
  const [code] = await asked.waitFor(/(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}/);
  await asked.waitFor(/type it back: /);
  asked.enter(code.slice(1));
  await asked.waitFor(/a recovery code has 36 characters, this one has 35; try again/);
  expect(JSON.parse(await at.vaultFile()).slots).toEqual([]);
  await asked.waitFor(/type it back: /);
  asked.enter(code.toLowerCase().replaceAll('-', ' '));
  await asked.waitFor(/recovery code added as slot [0-9a-f]{8}/);
  expect(await asked.exit).toEqual({ code: 0, signal: null });
  return { at, code, screen: asked.screen() };
}

/** Copies the vault of one machine to another, as from a backup. */
async function copy(from: Machine, to: Machine): Promise<void> {
  await cp(from.place.data, to.place.data, { recursive: true, verbatimSymlinks: true });
}

/** Returns the spellings of a code that would give it away. */
function writings(code: string): string[] {
  const bare = code.replaceAll('-', '');
  return [code, code.toLowerCase(), bare, bare.toLowerCase(), code.toLowerCase().replaceAll('-', ' ')];
}

/** Lists the files that contain one of the byte sequences uncompressed. */
async function filesWith(forms: readonly Buffer[], folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const bytes = await readFile(path);
      if (forms.some((form) => bytes.includes(form))) found.push(path);
    }
  }
  return found;
}

describe('a vault copied to another machine', () => {
  beforeEach(requireKeychain);

  it('is brought into the keychain there by its recovery code, and the chat continues', async () => {
    const { at: old, code } = await withCode();
    await using _old = old;
    await using fresh = await machine();
    await copy(old, fresh);
    const { place, usual } = fresh;
    expect(await place.run(['sessions'], usual)).toMatchObject({ code: 12, stdout: '' });

    await using asked = place.terminal(['recover'], usual);
    await asked.waitFor(/recovery code or passphrase: /);
    asked.enter(code.slice(0, -1));
    await asked.waitFor(/a recovery code has 36 characters, this one has 35/);
    await asked.waitFor(/recovery code or passphrase: /);
    asked.enter(code.toLowerCase());
    await asked.waitFor(/the key is now in the keychain of this machine \(gnome-keyring\)/);
    await asked.waitFor(/1 of 1 sessions and snapshots can be opened/);
    expect(await asked.exit).toEqual({ code: 0, signal: null });
    for (const writing of writings(code)) expect(asked.screen()).not.toContain(writing.slice(0, 9));

    const { key } = JSON.parse(await fresh.vaultFile());
    expect((await fresh.bus.items()).map(({ attributes }) => attributes['account'])).toEqual([key]);
    const chat = await place.run(['resume', '1', '--model', 'demo/echo'], { ...usual, input: 'again\n' });
    expect(chat).toMatchObject({ code: 0, stdout: expect.stringContaining('echo: again\n') });
    expect(conversation(await place.exported('1', usual))).toEqual([
      'user: hello',
      'assistant: echo: hello',
      'user: again',
      'assistant: echo: again',
    ]);
    const { stdout } = await place.run(['doctor'], usual);
    expect(stdout).toContain('no problems found');
    expect(stdout).not.toContain(HINT);
    const again = await place.run(['recover'], { ...usual, input: `${code}\n` });
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing was changed') });
    expect((await old.place.run(['sessions'], old.usual)).stdout).toContain('saved sessions (1):');
  });

  it('names what is wrong with a code, changes nothing, and ends with 12', async () => {
    const { at: old, code } = await withCode();
    await using _old = old;
    await using fresh = await machine();
    await copy(old, fresh);
    const before = await fresh.vaultFile();
    const mistyped = (code.startsWith('0') ? '1' : '0') + code.slice(1);
    for (const [given, message] of [
      [code.slice(5), 'a recovery code has 36 characters, this one has 32'],
      [`${code.slice(0, 6)}*${code.slice(7)}`, 'character 6, "*", is not valid in a recovery code'],
      [mistyped, 'a character of the recovery code is mistyped, or two are swapped'],
      [RecoveryCode.generate().show(), "the recovery code is not this vault's"],
      ['correct horse', 'character 2, "o"'],
    ] as const) {
      const refused = await fresh.place.run(['recover'], { ...fresh.usual, input: `${given}\nsecond line\n` });
      expect(refused).toMatchObject({ code: 12, stdout: '' });
      if (given !== 'correct horse') expect(refused.stderr).toBe(`coffer: ${message}\n`);
      expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    }
    const nothing = await fresh.place.run(['recover'], fresh.usual);
    expect(nothing).toMatchObject({ code: 12, stderr: expect.stringContaining('no recovery code and no passphrase') });
    expect(await fresh.vaultFile()).toBe(before);
    expect(await fresh.bus.items()).toEqual([]);
  });

  it('opens with a new passphrase if there is no keychain', async () => {
    const { at: old, code } = await withCode();
    await using _old = old;
    await using place = await makePlace();
    await cp(old.place.data, place.data, { recursive: true, verbatimSymlinks: true });
    const none: Start = { env: { COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined } };
    await using asked = place.terminal(['recover'], none);
    await asked.waitFor(/recovery code or passphrase: /);
    asked.enter(code);
    await asked.waitFor(/new passphrase: /);
    asked.enter('correct horse');
    await asked.waitFor(/repeat passphrase: /);
    asked.enter('correct horse');
    await asked.waitFor(/the vault now opens with the new passphrase/);
    expect(await asked.exit).toEqual({ code: 0, signal: null });
    const path = join(place.credentials, 'passphrase');
    await writeFile(path, 'correct horse\n', { mode: 0o600 });
    const given: Start = { env: { ...none.env, COFFER_PASSPHRASE_FILE: path } };
    expect((await place.run(['sessions'], given)).stdout).toContain('saved sessions (1):');
    const { stdout } = await place.run(['key', 'list'], none);
    const [passphrase = '', recovery = ''] = ['passphrase', 'recovery code'].map(
      (kind) => new RegExp(`([0-9a-f]{8}) {2}${kind}$`, 'm').exec(stdout)?.[1],
    );
    const last = await place.run(['key', 'remove', passphrase], given);
    expect(last).toMatchObject({ code: 1, stderr: expect.stringContaining('is the last way in') });
    const removed = await place.run(['key', 'remove', recovery], given);
    expect(removed).toMatchObject({ code: 0, stdout: `slot ${recovery} removed (recovery code)\n` });
    expect(removed.stderr).toContain('an older copy of vault.json');
  });
});

describe('a recovery code and the key', () => {
  beforeEach((context) => {
    requireKeychain(context);
    requireStrace(context);
  });

  it('are in no file, no argument and no environment', async () => {
    const { at: old, code, screen } = await withCode();
    await using _old = old;
    expect(screen.split(code)).toHaveLength(2);
    await using fresh = await machine();
    await copy(old, fresh);
    const { place, usual } = fresh;
    const trace = join(place.project, 'trace');
    const strace = ['-f', '-qq', '-v', '-s', '65536', '-e', 'trace=execve', '-o', trace];
    const env = Object.fromEntries(Object.entries({ ...place.env, ...usual.env }).filter(([, value]) => value));
    const child = spawn('strace', [...strace, process.execPath, PROGRAM, 'recover'], { cwd: place.project, env });
    child.stdin.end(`${code}\n`);
    const [shown, told] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect(shown).toContain('the key is now in the keychain of this machine');

    const [item] = await fresh.bus.items();
    const key = Buffer.from(item?.secret ?? '', 'base64');
    expect(key).toHaveLength(32);
    const calls = await readFile(trace, 'utf8');
    expect(calls).toContain('broker');
    const secrets = [...writings(code), key.toString('base64'), key.toString('hex')];
    for (const secret of secrets) {
      for (const seen of [calls, shown, told]) expect(seen).not.toContain(secret);
    }
    const forms = [key, ...secrets.flatMap((secret) => [Buffer.from(secret), Buffer.from(secret, 'utf16le')])];
    const folders = [...old.folders, ...fresh.folders];
    expect(await filesWith(forms, folders)).toEqual([]);
    // The same for every compressed form, in everything coffer writes except its compile cache.
    const { data, config, temp } = place;
    expect(await searchFor(code, [data, config, temp])).toEqual([]);
    for (const form of forms) {
      await writeFile(join(temp, 'planted'), form);
      expect(await filesWith(forms, folders)).toHaveLength(1);
    }
  });
});
