import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { openVault } from '../src/session/open-vault.ts';
import { requireKeychain, startKeychain } from '../test/support/keychain.ts';
import { interleave, type Spread, type Task } from './measure.ts';
import { beginSession } from './transcript.ts';

const SESSIONS = 100;

/** How long whole processes take, from their start to their end. */
export interface StartTimes {
  /** `node -e 0`: what nobody who is written in JavaScript can go below. */
  readonly node: Spread;
  readonly version: Spread;
  readonly sessions: Spread | MissingKeychain;
}

/** Why something could not be measured, and how to install what it needs. */
export interface MissingKeychain {
  readonly missing: string;
}

/** Measures the built program at `main`, with a vault of 100 sessions below `folder` and its key in a real keychain. */
export async function measureStarts(main: string, folder: string, rounds: number): Promise<StartTimes> {
  const missing = missingKeychain();
  const home = join(folder, 'home');
  mkdirSync(home);
  if (missing) {
    const { node, version } = await measure(tasksOf(main, { HOME: home }, ['node', 'version']), rounds);
    return { node, version, sessions: missing } as StartTimes;
  }
  await using bus = await startKeychain();
  const place = { COFFER_DATA_DIR: join(folder, 'data'), COFFER_CONFIG_DIR: join(folder, 'config') };
  const env = { PATH: process.env['PATH'], LANG: 'C.UTF-8', ...bus.env, ...place, HOME: home };
  await fillVault(env);
  return (await measure(tasksOf(main, env, ['node', 'version', 'sessions']), rounds)) as StartTimes;
}

async function measure(tasks: readonly Task[], rounds: number): Promise<Partial<Record<keyof StartTimes, Spread>>> {
  return Object.fromEntries(await interleave(tasks, rounds));
}

async function fillVault(env: NodeJS.ProcessEnv): Promise<void> {
  await using sessions = await openVault({ env, keychain: 'auto' });
  if (sessions.key.state !== 'ready' || sessions.key.provider !== 'gnome-keyring')
    throw new Error('the vault key did not go into the keychain');
  for (let count = 0; count < SESSIONS; count++) {
    await using _session = await beginSession(sessions, 4096 + 128 * count);
  }
}

function tasksOf(main: string, env: NodeJS.ProcessEnv, wanted: readonly (keyof StartTimes)[]): Task[] {
  const commands: Record<keyof StartTimes, { args: readonly string[]; expected: RegExp }> = {
    node: { args: ['-e', '0'], expected: /^$/ },
    version: { args: [main, '--version'], expected: /^\d+\.\d+\.\d+\n$/ },
    sessions: { args: [main, 'sessions', '--all'], expected: new RegExp(`^saved sessions \\(${SESSIONS}\\):\n`) },
  };
  return wanted.map((name): Task => {
    const { args, expected } = commands[name];
    check(name, args, env, expected);
    return { name, run: () => timed(name, args, env) };
  });
}

/** What is fast because it fails is not measured. It also fills the compile cache, as a first start does. */
function check(name: string, args: readonly string[], env: NodeJS.ProcessEnv, expected: RegExp): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  if (status !== 0 || stderr !== '' || !expected.test(stdout)) {
    throw new Error(`${name} ended with ${status} and printed ${JSON.stringify(stdout.slice(0, 200))}; ${stderr}`);
  }
}

function timed(name: string, args: readonly string[], env: NodeJS.ProcessEnv): number {
  const start = performance.now();
  const { status } = spawnSync(process.execPath, args, { env, stdio: 'ignore' });
  const time = performance.now() - start;
  if (status !== 0) throw new Error(`${name} ended with ${status}`);
  return time;
}

function missingKeychain(): MissingKeychain | undefined {
  let missing: MissingKeychain | undefined;
  class Missing extends Error {}
  try {
    requireKeychain({
      skip(note = 'no keychain'): never {
        missing = { missing: note };
        throw new Missing(note);
      },
    });
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
  }
  return missing;
}
