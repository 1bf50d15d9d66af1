import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { requireSandbox } from '../chat/tools/support.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { PROGRAM } from '../support/program.ts';

beforeEach(requireSandbox);

const repository = join(import.meta.dirname, '..', '..');
const DATA = '.local/share/coffer';

/**
 * Environments, and the vault directory that each selects, below the home of the user's passwd
 * entry.
 */
const environments: readonly (readonly [Record<string, string | undefined>, string])[] = [
  [{ HOME: undefined }, DATA],
  [{ HOME: '' }, DATA],
  [{ HOME: '.' }, DATA],
  [{ HOME: 'here' }, DATA],
  [{ HOME: '~' }, DATA],
  [{ XDG_DATA_HOME: '' }, DATA],
  [{ XDG_DATA_HOME: '.' }, DATA],
  [{ XDG_DATA_HOME: 'here' }, DATA],
  [{ XDG_DATA_HOME: './here' }, DATA],
  [{ XDG_DATA_HOME: '~/.local/share' }, DATA],
  [{ XDG_DATA_HOME: 'here', HOME: '' }, DATA],
  [{ XDG_CONFIG_HOME: 'here', XDG_CACHE_HOME: 'here', XDG_STATE_HOME: 'here', XDG_RUNTIME_DIR: 'here' }, DATA],
  [{ XDG_CONFIG_HOME: '', XDG_CACHE_HOME: '', XDG_STATE_HOME: '', XDG_RUNTIME_DIR: '', HOME: '' }, DATA],
  [{ XDG_DATA_HOME: join(userInfo().homedir, 'mine'), HOME: '' }, 'mine/coffer'],
  [{ HOME: join(userInfo().homedir, 'sub'), XDG_DATA_HOME: 'here' }, `sub/${DATA}`],
];

describe.each(environments)('with %j', (env, data) => {
  it(`the vault is at ${data}, and nothing is left in the current directory`, async () => {
    await using place = await makePlace();
    expect(coffer(place, ['--model', 'demo/echo', '-p', 'hello'], env)).toMatchObject({ status: 0 });
    expect(readdirSync(join(place.home, data, 'sessions'))).toHaveLength(2);
    expect(coffer(place, ['config', 'path'], env).stdout).toMatch(/^\/.*\/coffer\/settings\.json\n$/);
    expect(readdirSync(place.project)).toEqual([]);
  });
});

it('tools get the home of the passwd entry, not one in the current directory', async () => {
  await using place = await makePlace({ settings: { permissions: { allow: ['command'] }, sandbox: 'off' } });
  const env = { HOME: 'here', COFFER_CONFIG_DIR: place.config };
  const { stdout } = coffer(place, ['--model', 'demo/tools', '-p', 'run echo "home is $HOME"'], env);
  expect(stdout).toContain(`home is ${userInfo().homedir}\n`);
});

/** Runs coffer with a folder of the place mounted over the home of the user's passwd entry. */
function coffer(place: Place, args: readonly string[], env: Record<string, string | undefined>) {
  const home = userInfo().homedir;
  mkdirSync(join(place.home, 'sub'), { recursive: true });
  const mounts = ['--dev-bind', '/', '/', '--bind', place.home, home];
  const seen = [...mounts, '--ro-bind', repository, repository, '--bind', place.root, place.root];
  const program = [process.execPath, PROGRAM, ...args];
  const own = { PATH: place.env['PATH'], HOME: home, COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: place.credentials };
  return spawnSync('bwrap', [...seen, '--', ...program], {
    cwd: place.project,
    env: { ...own, ...env },
    encoding: 'utf8',
    input: '',
  });
}
