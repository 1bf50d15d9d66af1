import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { makePlace, type Place } from '../support/coffer.ts';
import { HANGS } from '../support/patience.ts';
import { PROGRAM } from '../support/program.ts';

/**
 * Skips the running test if a shell is missing. Fails it instead if CI promised to have every
 * program.
 */
function requireShell(context: TestContext, shell: string): void {
  if (spawnSync(shell, ['-c', 'true']).status === 0) return;
  const note = `${shell} missing; install with: apt-get install -y ${shell}`;
  if ((process.env['COFFER_TEST_REQUIRE'] ?? '').split(',').includes('keychain')) throw new Error(note);
  context.skip(note);
}

/**
 * Makes a session, and returns an environment in which a shell finds `coffer` and can read the key
 * any number of times.
 */
async function withCoffer(place: Place): Promise<Record<string, string>> {
  await place.run(['--model', 'demo/echo', '-p', 'hello']);
  const bin = join(place.root, 'bin');
  mkdirSync(bin);
  const program = join(bin, 'coffer');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`);
  chmodSync(program, 0o755);
  const { COFFER_KEY_FD: _, ...env } = place.env;
  return {
    ...env,
    PATH: [bin, process.env['PATH']].join(delimiter),
    CREDENTIALS_DIRECTORY: place.credentials,
    TERM: 'dumb',
  };
}

function ask(shell: string, args: readonly string[], place: Place, env: Record<string, string>): string {
  const { stdout, stderr } = spawnSync(shell, args, { cwd: place.project, env, encoding: 'utf8', timeout: HANGS });
  return `${stdout}${stderr}`;
}

describe('the completion script', () => {
  it('completes commands, options and ids in fish', async (context) => {
    requireShell(context, 'fish');
    await using place = await makePlace();
    const env = await withCoffer(place);
    const [row] = await place.listed();
    const completed = (line: string): string =>
      ask('fish', ['--no-config', '-c', `coffer completion fish | source; complete -C '${line}'`], place, env);
    expect(completed('coffer expo')).toMatch(/^export\b/m);
    expect(completed('coffer export 1 --form')).toMatch(/^--format\b/m);
    expect(completed(`coffer export ${row?.id.slice(0, 10)}`)).toContain(row?.id);
  });

  it('is accepted by zsh, and registers itself', async (context) => {
    requireShell(context, 'zsh');
    await using place = await makePlace();
    const env = await withCoffer(place);
    const registered = ask(
      'zsh',
      [
        '-f',
        '-c',
        'autoload -Uz compinit; compinit -u -D; source <(coffer completion zsh); print -r -- $_comps[coffer]',
      ],
      place,
      env,
    );
    expect(registered.trim()).toMatch(/^_\w+$/);
  });
});
