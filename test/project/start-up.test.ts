import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openVault } from '../../src/session/open-vault.ts';
import { requireKeychain, startKeychain } from '../support/keychain.ts';
import { type Loads, loadsOf, packagesIn } from '../support/loads.ts';
import { temporaryFolder } from '../support/vault.ts';

const root = join(import.meta.dirname, '../..');

/**
 * Modules and packages that are heavy, or that only a turn, a passphrase prompt or another command
 * needs.
 */
const LATE =
  /\/node_modules\/(commander|zod|@ai-sdk|@clack|marked|diff|keytar)\/|\/(broker(-start|-process)?|turn|cli\/slash|remote|recovery-code|passphrase|slots|settings\/schema|session\/search\/(search|lines|trigrams)|row-json|inspect|conflicts)\.ts$|^node:child_process$/;

describe('the start', () => {
  it('of coffer --version loads four files, node:util for its styles, and no package', () => {
    const { loaded } = start(['--version']);
    const names = loaded.map((url) => url.slice(url.lastIndexOf('/') + 1));
    expect(names).toEqual(['main.ts', 'terminal.ts', 'node:util', 'errors.ts', 'escape.ts']);
  });

  it('of coffer sessions loads what a list needs, nothing late, and no keychain broker', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const place = { ...places(), ...keychain.env };
    await using sessions = await openVault({ env: { PATH: process.env['PATH'], ...place }, keychain: 'auto' });
    await using session = sessions.begin({ directory: '/x', model: 'demo/echo' });
    await session.append({ type: 'message', message: { role: 'user', content: 'a word' } });
    const { loaded, stdout } = start(['sessions'], place);
    expect(stdout).toContain('1) _autosave');
    expect(loaded.some((url) => url.endsWith('/src/session/list/row.ts'))).toBe(true);
    expect(loaded.filter((url) => LATE.test(url))).toEqual([]);
    expect(packagesIn(loaded)).toEqual(['env-paths', 'is-safe-filename']);
  });

  it('of a chat loads no schemas, models or Markdown', () => {
    const { loaded, said } = start(['--model', 'demo/echo'], { ...places(), COFFER_KEYCHAIN: 'memory' });
    expect(said).toEqual(['demo/echo, kept in memory only: COFFER_KEYCHAIN=memory']);
    expect(packagesIn(loaded)).toEqual(['env-paths', 'is-safe-filename']);
    expect(loaded.some((url) => /\/src\/(terminal\/repl|chat\/models\/demo)\.ts$/.test(url))).toBe(true);
    expect(loaded.filter((url) => /\/(remote|slash|inspect|recovery-code)\.ts$/.test(url))).toEqual([]);
  });

  it('loads late modules for options and for a variable that must be validated', () => {
    const { loaded } = start(['sessions', '--json'], { ...places(), COFFER_MODEL: 'demo/echo' });
    expect(packagesIn(loaded)).toEqual(['commander', 'env-paths', 'is-safe-filename', 'zod']);
    const names = ['row-json.ts', 'settings/schema.ts'];
    for (const name of names) expect(loaded.filter((url) => LATE.test(url)).join()).toContain(name);
  });
});

function places(): Record<string, string> {
  return { COFFER_DATA_DIR: join(temporaryFolder(), 'data'), COFFER_CONFIG_DIR: temporaryFolder() };
}

/** Runs coffer to its end, with empty standard input, outside of a repository. */
function start(args: readonly string[], place: Record<string, string> = places()): Loads {
  const cwd = join(temporaryFolder(), 'project');
  mkdirSync(cwd);
  const env = { PATH: process.env['PATH'], HOME: temporaryFolder(), ...place };
  return loadsOf(join(root, 'src/cli/main.ts'), args, { cwd, env });
}
