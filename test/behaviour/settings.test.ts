import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configSchema, configValueSchema, errorSchema } from '../../src/cli/schemas.ts';
import { keyNames } from '../../src/settings/keys.ts';
import { makePlace, type Place } from '../support/coffer.ts';

describe('bad settings', () => {
  it('are reported one line per fault, with the key, its value and what is allowed', async () => {
    await using place = await makePlace({
      settings: {
        saveintervall: 5,
        autoSave: 'yes',
        saveInterval: 10,
        maxMessages: 0,
        providers: { mine: { baseUrl: 'x' } },
      },
    });
    for (const args of [[], ['sessions'], ['export', '1']]) {
      const { code, stdout, stderr } = await place.run(args, { input: 'hello\n' });
      expect(code).toBe(2);
      expect(stdout).toBe('');
      const lines = stderr.trim().split('\n');
      const faults = lines.filter((line) => !line.includes('settings.json'));
      expect(faults).toHaveLength(5);
      expect(faults).toContainEqual(expect.stringMatching(/saveintervall.*unknown.*saveInterval/));
      expect(faults).toContainEqual(expect.stringMatching(/autoSave.*"yes".*true or false/));
      expect(faults).toContainEqual(expect.stringMatching(/saveInterval.*10.*1000/));
      expect(faults).toContainEqual(expect.stringMatching(/maxMessages.*0.*at least 1/));
      expect(faults).toContainEqual(expect.stringMatching(/providers\.mine\.baseUrl.*unknown.*baseURL/));
      expect(lines.join('\n')).toContain(join(place.config, 'settings.json'));
    }
    expect(await place.run(['--version'])).toMatchObject({ code: 0 });
  });

  it("that aren't JSON are reported with the position", async () => {
    await using place = await makePlace();
    await writeFile(join(place.config, 'settings.json'), '{\n  "autoSave": true\n  "model": "demo/echo"\n}\n', {
      mode: 0o600,
    });
    const { code, stderr } = await place.run([], { input: 'hello\n' });
    expect(code).toBe(2);
    expect(stderr).toMatch(/settings\.json/);
    expect(stderr).toMatch(/line 3/);
  });

  it('do not come from writing out the defaults', async () => {
    const settings = { autoSave: true, saveInterval: 30_000, maxSessions: 100, maxMessages: 1000, retentionDays: 30 };
    await using place = await makePlace({ settings });
    expect(await place.run(['--model', 'demo/echo'], { input: 'hello\n' })).toMatchObject({ code: 0 });
  });
});

describe('coffer config', () => {
  it('says where each value comes from, as JSON of the documented shape', async () => {
    await using place = await makePlace({ settings: { maxTurns: 3, permissions: { deny: ['network'] } } });
    await writeFile(join(place.project, '.coffer.json'), '{"maxMessages": 7, "permissions": {"deny": ["command"]}}');
    const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', 'config', 'list', '--json'], {
      env: { COFFER_KEEP_MESSAGES: '9' },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rows = configSchema.parse(JSON.parse(stdout));
    const said = rows.filter(({ source }) => source !== 'default');
    const file = join(place.config, 'settings.json');
    const project = join(place.project, '.coffer.json');
    expect(said).toEqual([
      { key: 'model', value: 'demo/echo', source: 'flag', from: '--model' },
      { key: 'maxMessages', value: 7, source: 'project', from: project },
      { key: 'directory', value: place.data, source: 'environment', from: 'COFFER_DATA_DIR' },
      { key: 'maxTurns', value: 3, source: 'file', from: file },
      { key: 'keepMessages', value: 9, source: 'environment', from: 'COFFER_KEEP_MESSAGES' },
      { key: 'permissions.deny', value: ['network', 'command'], source: 'project', from: `${file} and ${project}` },
    ]);
    expect(rows).toHaveLength(keyNames.length);
    const elsewhere = await place.run(['--path', place.home, 'config', 'get', 'maxMessages', '--json']);
    expect(configValueSchema.parse(JSON.parse(elsewhere.stdout))).toEqual({
      key: 'maxMessages',
      value: 1000,
      source: 'default',
    });
  });

  it('reports faults as JSON with --json', async () => {
    await using place = await makePlace({ settings: { maxTurns: 0 } });
    const { code, stdout, stderr } = await place.run(['config', 'list', '--json']);
    expect([code, stdout]).toEqual([2, '']);
    expect(errorSchema.parse(JSON.parse(stderr))).toMatchObject({
      error: { code: 'SETTINGS_INVALID', faults: ['settings: maxTurns is 0; must be an integer of at least 1'] },
    });
  });

  it('writes nothing secret to any stream', async () => {
    await using place = await makePlace();
    const key = 'sk-proj-0123456789abcdef';
    for (const args of [
      ['set', 'providers.a.apiKeyEnv', key],
      ['set', 'providers.a.apiKey', key],
      ['set', 'providers.a', `{"apiKeyEnv":"${key}"}`],
      ['set', 'model', key],
      ['set', key, 'true'],
      ['get', key],
      ['unset', key],
      ['set', 'model', 'a/b', key],
    ]) {
      const { code, stdout, stderr } = await place.run(['config', ...args]);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain('0123456789');
    }
    await expect(readFile(join(place.config, 'settings.json'))).rejects.toThrow('ENOENT');
  });

  it('works without a vault, a key or a keychain', async () => {
    await using place = await makePlace();
    const env = { COFFER_KEYCHAIN: 'nonsense', COFFER_KEY_FD: undefined };
    for (const args of [['list'], ['path'], ['set', 'maxTurns', '1'], ['get', 'maxTurns'], ['unset', 'maxTurns']]) {
      expect(await place.run(['config', ...args], { env })).toMatchObject({ code: 0 });
    }
    await expect(readdir(place.data)).rejects.toThrow('ENOENT');
  });
});

describe('coffer config edit', () => {
  /**
   * Makes an editor that logs its arguments and writes the next of `contents` into the file. When
   * they run out, it repeats the last.
   */
  async function editor(place: Place, ...contents: string[]): Promise<string> {
    for (const [at, content] of contents.entries()) await writeFile(join(place.temp, `content-${at}`), content);
    const script = join(place.temp, 'my editor.sh');
    const lines = [
      '#!/bin/sh',
      'echo "editing $2"',
      `n=$(ls "${place.temp}" | grep -c ^done)`,
      `cat "${place.temp}/content-$n" > "$2" && touch "${place.temp}/done-$n"`,
    ];
    await writeFile(script, `${lines.join('\n')}\n`, { mode: 0o700 });
    return `"${script}" --wait`;
  }

  it('opens the file in the editor, whose name may have arguments, and says whether it is changed', async () => {
    await using place = await makePlace({ settings: { maxTurns: 3 } });
    const path = join(place.config, 'settings.json');
    const env = { VISUAL: await editor(place, '{"maxTurns": 4}'), EDITOR: 'false' };
    await using terminal = place.terminal(['config', 'edit'], { env });
    await terminal.waitFor(new RegExp(`editing ${RegExp.escape(path)}`));
    await terminal.waitFor(/settings\.json is changed/);
    expect(await terminal.exit).toMatchObject({ code: 0 });
    expect(await readFile(path, 'utf8')).toBe('{"maxTurns": 4}');
  });

  it('restores the previous content when the user says so', async () => {
    await using place = await makePlace({ settings: { maxTurns: 3 } });
    const path = join(place.config, 'settings.json');
    const before = await readFile(path, 'utf8');
    const env = { EDITOR: await editor(place, '{"maxTurns": 0}') };
    await using terminal = place.terminal(['config', 'edit'], { env });
    await terminal.waitFor(/has a fault/);
    await terminal.waitFor(/maxTurns is 0; must be an integer of at least 1/);
    await terminal.waitFor(/\[e\]dit it again, or go \[b\]ack to the previous version\?/);
    expect(await readFile(path, 'utf8')).toBe('{"maxTurns": 0}');
    terminal.enter('what');
    await terminal.waitFor(/go \[b\]ack to the previous version\?/);
    terminal.enter('b');
    await terminal.waitFor(/settings\.json was restored/);
    expect(await terminal.exit).toMatchObject({ code: 1 });
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  it.each(['ctrl+c', 'ctrl+d'] as const)('restores the previous content on %s', async (key) => {
    await using place = await makePlace({ settings: { maxTurns: 3 } });
    const path = join(place.config, 'settings.json');
    const before = await readFile(path, 'utf8');
    await using terminal = place.terminal(['config', 'edit'], { env: { EDITOR: await editor(place, '{') } });
    await terminal.waitFor(/go \[b\]ack to the previous version\?/);
    terminal.key(key);
    await terminal.waitFor(/settings\.json was restored/);
    expect(await terminal.exit).toMatchObject({ code: 1 });
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  it('restores the previous content when the terminal is closed', async () => {
    await using place = await makePlace({ settings: { maxTurns: 3 } });
    const path = join(place.config, 'settings.json');
    const before = await readFile(path, 'utf8');
    await using terminal = place.terminal(['config', 'edit'], { env: { EDITOR: await editor(place, '{') } });
    await terminal.waitFor(/go \[b\]ack to the previous version\?/);
    terminal.hangUp();
    await terminal.exit;
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  it('edits again until the file is valid, even if it was broken before', async () => {
    await using place = await makePlace();
    const path = join(place.config, 'settings.json');
    await writeFile(path, '{"tools": maybe}', { mode: 0o600 });
    await using terminal = place.terminal(['config', 'edit'], {
      env: { EDITOR: await editor(place, '{"tools": 1}', '{"tools": true}') },
    });
    await terminal.waitFor(/tools is 1; must be true or false/);
    terminal.enter('e');
    await terminal.waitFor(/settings\.json is changed/);
    expect(await terminal.exit).toMatchObject({ code: 0 });
    expect(await readFile(path, 'utf8')).toBe('{"tools": true}');
  });

  it('leaves no file behind if there was none and nothing was written', async () => {
    await using place = await makePlace();
    await using terminal = place.terminal(['config', 'edit'], { env: { EDITOR: 'true' } });
    await terminal.waitFor(/settings\.json is unchanged/);
    expect(await terminal.exit).toMatchObject({ code: 0 });
    expect(await readdir(place.config)).toEqual(['settings.lock']);
  });

  it('says that an editor failed', async () => {
    await using place = await makePlace();
    await using terminal = place.terminal(['config', 'edit'], { env: { EDITOR: '/nonexistent/editor' } });
    await terminal.waitFor(/the editor exited with 127: \/nonexistent\/editor; .*settings\.json is unchanged/);
    expect(await terminal.exit).toMatchObject({ code: 1 });
    expect(await readdir(place.config)).toEqual(['settings.lock']);
  });

  it('needs an editor', async () => {
    await using place = await makePlace();
    await using terminal = place.terminal(['config', 'edit'], { env: { EDITOR: undefined, VISUAL: '' } });
    await terminal.waitFor(/no editor is set; set VISUAL or EDITOR; the file is .*settings\.json/);
    expect(await terminal.exit).toMatchObject({ code: 2 });
  });

  it('leaves Ctrl+C to the editor, and blocks other changes of settings meanwhile', async () => {
    await using place = await makePlace({ settings: { maxTurns: 3 } });
    const path = join(place.config, 'settings.json');
    const script = join(place.temp, 'editor.sh');
    // The shell waits for its read: the trap runs, and the script continues.
    await writeFile(script, `#!/bin/sh\ntrap 'echo caught' INT\necho ready\nread line\necho "got $line"\n`, {
      mode: 0o700,
    });
    await using terminal = place.terminal(['config', 'edit'], { env: { EDITOR: script } });
    await terminal.waitFor(/ready/);
    const other = await place.run(['config', 'set', 'maxTurns', '5']);
    expect(other).toMatchObject({
      code: 11,
      stderr: expect.stringContaining('settings.lock has been locked by another process'),
    });
    terminal.key('ctrl+c');
    await terminal.waitFor(/caught/);
    terminal.enter('');
    await terminal.waitFor(/settings\.json is unchanged/);
    expect(await terminal.exit).toMatchObject({ code: 0 });
    expect(await readFile(path, 'utf8')).toBe('{"maxTurns":3}');
  });
});

describe('a start', () => {
  it("loads no schemas without a settings file, or with COFFER_DATA_DIR alone; with a project's file it does", async () => {
    await using place = await makePlace();
    const hook = `import { registerHooks } from 'node:module'; import { writeSync } from 'node:fs';
      registerHooks({ load(url, context, next) { if (url.includes('/zod/')) writeSync(2, 'zod\\n'); return next(url, context); } });`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` };
    expect(await place.run(['sessions'], { env })).toMatchObject({ code: 0, stderr: '' });
    await writeFile(join(place.project, '.coffer.json'), '{}');
    expect((await place.run(['sessions'], { env })).stderr).toContain('zod');
  });
});

describe("a project's file", () => {
  it('is refused in one line by every command that opens the vault there, and only there', async () => {
    await using place = await makePlace();
    const path = join(place.project, '.coffer.json');
    await writeFile(path, '{"model": "demo/echo", "directory": "/tmp/theirs"}');
    for (const args of [[], ['sessions'], ['export', '1']]) {
      expect(await place.run(args, { input: 'hello\n' })).toMatchObject({
        code: 2,
        stdout: '',
        stderr: `coffer: ${path} sets directory, allowed only in your own settings; a project may set model, maxMessages, permissions.deny\n`,
      });
    }
    expect(await place.run(['sessions'], { cwd: place.home })).toMatchObject({ code: 0 });
    await writeFile(path, '{"model": "demo/echo"}');
    const { code, stdout } = await place.run([], { input: 'hello\n' });
    expect([code, stdout]).toEqual([0, 'echo: hello\n']);
  });
});
