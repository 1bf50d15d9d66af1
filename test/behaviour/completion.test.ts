import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { openVault } from '../../src/session/open-vault.ts';
import { makePlace, type Place, type Start, usual } from '../support/coffer.ts';
import { type Bus, requireKeychain, startBus } from '../support/keychain.ts';
import { PROGRAM } from '../support/program.ts';

describe('completion of sessions', () => {
  it('offers ids if the keychain is unlocked, and nothing if it is locked, without a prompt or a trace', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const daemon = await bus.startKeyring();
    await using place = await makePlace();
    expect((await place.run(['--model', 'demo/echo'], { ...usual(bus), input: 'hello\n' })).code).toBe(0);
    const [{ id } = { id: '' }] = await place.listed(usual(bus));
    const before = await everything(place);
    expect(await words(place, ['export', ''], usual(bus))).toEqual(['last', id]);
    await bus.lockCollection();
    const watch = await watchOf(bus);
    // A terminal and a display: coffer must assume that a user is present.
    await using terminal = place.terminal(['complete', '--', 'export', ''], usual(bus, { DISPLAY: ':99' }));
    await terminal.waitFor(/:4/);
    expect(await terminal.exit).toEqual({ code: 0, signal: null });
    expect(terminal.screen()).not.toContain(id);
    const seen = await watch();
    expect(seen).toContain('member=SearchItems');
    expect(seen).not.toMatch(/member=(Unlock|Prompt|CreateItem)/);
    expect(await everything(place)).toEqual(before);
    // A keychain that never answers times out: the shell waits for the words.
    daemon.kill('SIGSTOP');
    expect(await words(place, ['export', ''], usual(bus))).toEqual(['last']);
  });

  it('asks for no passphrase, and offers nothing from a vault with a passphrase', async () => {
    await using place = await makePlace();
    const file = join(place.temp, 'passphrase');
    await writeFile(file, 'correct horse\n');
    const env = { COFFER_KEYCHAIN: 'passphrase', COFFER_KEY_FD: undefined, COFFER_PASSPHRASE_FILE: file };
    expect((await place.run(['--model', 'demo/echo'], { env, input: 'hello\n' })).code).toBe(0);
    const before = await everything(place);
    expect(await words(place, ['export', ''], { env })).toEqual(['last']);
    await using terminal = place.terminal(['complete', '--', 'export', ''], {
      env: { ...env, COFFER_PASSPHRASE_FILE: undefined },
    });
    expect(await terminal.exit).toEqual({ code: 0, signal: null });
    expect(terminal.screen()).not.toContain('passphrase');
    expect(await everything(place)).toEqual(before);
  });

  it('makes no key and no vault on first use', async () => {
    await using place = await makePlace();
    const env = credential(place);
    const before = await everything(place);
    expect(await words(place, ['export', ''], { env })).toEqual(['last']);
    expect(await everything(place)).toEqual(before);
  });

  it('leaves a key on a descriptor unread', async () => {
    await using place = await withSession();
    expect(await words(place, ['export', ''])).toEqual(['last']);
  });

  it('also offers names, uses the vault named in the line, and offers the UUID of names that a shell would misread', async () => {
    await using place = await withSession();
    await using sessions = await openVault({ directory: place.data, env: place.libraryEnv });
    await using hostile = sessions.begin({ directory: '/work', model: 'demo/echo' });
    await hostile.append(
      { type: 'message', message: { role: 'user', content: 'two\nlines\u001b[2J\tand a tab' } },
      { type: 'name', name: '$(touch pwned)' },
    );
    const snapshot = await hostile.save('`id` && two');
    await hostile.save('plain-name');
    const { uuid } = await sessions.find(snapshot.id);
    const env = { ...credential(place), COFFER_DATA_DIR: undefined };
    const { stdout } = await place.run(['complete', '--', '--data-dir', place.data, 'export', ''], { env });
    const lines = stdout.trimEnd().split('\n');
    expect(lines.at(-1)).toBe(':4');
    const offered = lines.slice(0, -1).map((line) => line.split('\t'));
    expect(offered.every((parts) => parts.length === 2)).toBe(true);
    const values = offered.map(([value]) => value);
    expect(values).toContain('plain-name');
    expect(values).toContain(uuid);
    expect(values).toContain(hostile.id);
    expect(values.filter((value) => !/^[\w.-]+$/.test(value ?? ''))).toEqual([]);
    expect(stdout).toContain('$(touch pwned), two lines\\x1b[2J and a tab');
    expect(await words(place, ['export', 'pl'], { env: credential(place) })).toEqual(['plain-name']);
  });

  it('works if the settings or a file of the vault are broken', async () => {
    await using place = await withSession();
    await writeFile(join(place.config, 'settings.json'), '{');
    await writeFile(place.sessionFile('0'.repeat(32)), 'rubbish');
    const offered = await words(place, ['export', ''], { env: credential(place) });
    expect(offered).toHaveLength(2);
    await writeFile(join(place.data, 'vault.json'), '{');
    expect(await words(place, ['export', ''], { env: credential(place) })).toEqual(['last']);
  });
});

describe('completion of everything else', () => {
  it.each([
    [['exp'], ['export']],
    [
      ['export', '1', '--fo'],
      ['--format', '--force'],
    ],
    [
      ['export', '1', '--format', 'json'],
      ['json', 'jsonl'],
    ],
    [['export', '1', '--format=m'], ['markdown']],
    [
      ['sessions', '--status', 'c'],
      ['completed', 'cancelled'],
    ],
    [['config', 'set', 'maxS'], ['maxSessions']],
    [['key', 'rec'], ['recovery-code']],
    [
      ['--model', 'demo/'],
      ['demo/echo', 'demo/eliza'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['--vers'], ['--version']],
    [['export', '--json', '--version', 'x'], []],
  ])('of %j offers %j', async (line, offered) => {
    await using place = await makePlace();
    expect(await words(place, line)).toEqual(offered);
  });

  it('leaves files to the shell if a file is wanted', async () => {
    await using place = await makePlace();
    for (const line of [
      ['import', ''],
      ['export', '1', '-o', ''],
    ]) {
      expect((await place.run(['complete', '--', ...line])).stdout).toBe(':0\n');
    }
  });
});

describe('coffer completion', () => {
  it.each(['bash', 'zsh', 'fish'])('prints a script for %s that calls coffer complete', async (shell) => {
    await using place = await makePlace();
    const { code, stdout } = await place.run(['completion', shell]);
    expect([code, stdout]).toEqual([0, expect.stringContaining('coffer complete --')]);
  });

  it('quotes in zsh the text before a =, which is passed to eval', async () => {
    await using place = await makePlace();
    const { stdout } = await place.run(['completion', 'zsh']);
    expect(stdout).toContain('{(q)BASH_REMATCH}');
    expect(stdout).not.toContain('{BASH_REMATCH}');
  });

  it('lists the shells it supports', async () => {
    await using place = await makePlace();
    const { code, stderr } = await place.run(['completion', 'tcsh']);
    expect([code, stderr]).toEqual([2, 'coffer: there is no completion for tcsh, only for bash, zsh, fish\n']);
  });

  it('completes in bash, and runs nothing found in the line', async (context) => {
    await using place = await withSession();
    const [{ id } = { id: '' }] = await place.listed();
    await using sessions = await openVault({ directory: place.data, env: place.libraryEnv });
    await using named = sessions.begin({ directory: '/work', model: 'demo/echo' });
    await named.append({ type: 'name', name: '$(touch pwned)' });
    const complete = await bashIn(place);
    if (complete === undefined) return context.skip('there is no bash');
    const offered = await complete('coffer', 'export', id.slice(0, 10));
    expect(offered).toContain(id);
    expect(await complete('coffer', 'export', '1', '--form')).toEqual(['--format']);
    expect(await complete('coffer', 'export', '1', '--format', '=', 'ma')).toEqual(['markdown']);
    expect(await complete('coffer', 'export', '1', '--format', '=')).toEqual(['markdown', 'json', 'jsonl']);
    expect(await complete('coffer', '--model', 'demo/ec')).toEqual(['demo/echo']);
    expect(await complete('coffer', '$(touch pwned)', '`touch pwned`', '')).toEqual([]);
    expect(await complete('coffer', 'export', '')).toHaveLength(3);
    expect(await readdir(place.project)).toEqual([]);
  });
});

async function words(place: Place, line: readonly string[], start: Start = {}): Promise<string[]> {
  const { code, stdout, stderr } = await place.run(['complete', '--', ...line], start);
  expect([code, stderr]).toEqual([0, '']);
  return stdout
    .split('\n')
    .filter((each) => each !== '' && !each.startsWith(':'))
    .map((each) => each.replace(/\t.*/, ''));
}

async function withSession(): Promise<Place> {
  const place = await makePlace();
  expect((await place.run(['--model', 'demo/echo'], { input: 'hello\n' })).code).toBe(0);
  return place;
}

/** Puts the key of the place into a credential file, which can be read any number of times. */
function credential(place: Place): Record<string, string | undefined> {
  return { COFFER_KEY_FD: undefined, CREDENTIALS_DIRECTORY: place.credentials };
}

/** Records the calls to the Secret Service until the returned function is called. */
async function watchOf(bus: Bus): Promise<() => Promise<string>> {
  const monitor = bus.spawn('dbus-monitor', ["path_namespace='/org/freedesktop/secrets',type='method_call'"]);
  let seen = '';
  let wake = (): void => undefined;
  monitor.stdout?.setEncoding('utf8').on('data', (part: string) => {
    seen += part;
    wake();
  });
  const until = (pattern: RegExp): Promise<void> =>
    new Promise((resolve) => {
      wake = () => pattern.test(seen) && resolve();
      wake();
    });
  await until(/member=NameLost/);
  return async () => {
    // The Secret Service logs calls in order: once this one is in the text, all earlier ones are.
    await bus.items('the-last-question');
    await until(/the-last-question/);
    monitor.kill();
    return seen;
  };
}

/** Lists every file of a place with its bytes and times. */
async function everything(place: Place): Promise<string[]> {
  const names = await readdir(place.root, { recursive: true });
  const rows = names.sort().map(async (name) => {
    const path = join(place.root, name);
    const { mode, mtimeMs, ino } = await lstat(path);
    const kind = (await lstat(path)).isFile()
      ? createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      : await readlink(path).catch(() => '');
    return [name, mode, mtimeMs, ino, kind].join(' ');
  });
  return Promise.all(rows);
}

/**
 * Completes lines in a bash that has sourced the script, as readline does. Returns undefined if
 * there is no bash.
 */
async function bashIn(place: Place): Promise<((...line: string[]) => Promise<string[]>) | undefined> {
  const bin = join(place.root, 'bin');
  await mkdir(bin);
  await writeFile(join(bin, 'coffer'), `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`);
  await chmod(join(bin, 'coffer'), 0o755);
  const script = `source <(coffer completion bash) || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _coffer; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env: Record<string, string | undefined> = { ...place.env, ...credential(place) };
  if ((await ended('bash', ['-c', ':'], place.project, env)).code !== 0) return undefined;
  return async (...line) => {
    const all = { ...env, PATH: `${bin}:${place.env['PATH']}` };
    const result = await ended('bash', ['-c', script, 'bash', ...line], place.project, all);
    expect([result.code, result.stderr]).toEqual([0, '']);
    return result.stdout.split('\n').filter((word) => word !== '');
  };
}

async function ended(file: string, args: readonly string[], cwd: string, env: Record<string, string | undefined>) {
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const code = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('close', resolve);
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
