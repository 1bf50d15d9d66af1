import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { openVault } from '../src/session/open-vault.ts';
import { requireKeychain, startKeychain } from '../test/support/keychain.ts';
import { Terminal } from '../test/support/pty.ts';
import { ensureBuild, program } from './build.ts';
import { interleave, type Task } from './measure.ts';
import type { Line, Measure, Part } from './part.ts';
import { eventsOf, Transcript } from './transcript.ts';
import { lineAgainst, spreadAt } from './vaults.ts';

const SESSIONS = 100;
const ROUNDS = { full: 60, short: 15 } as const;

/** The working directory and the environment that coffer starts in. */
interface Place {
  readonly env: Record<string, string>;
  readonly cwd: string;
}

const NODE = 'node -e 0';

/**
 * Commands measured as a whole process, from start to end; each must print `expected`, and nothing
 * on standard error.
 */
const COMMANDS = {
  [NODE]: { args: ['-e', '0'], expected: /^$/ },
  'coffer --version': { args: [program, '--version'], expected: /^\d+\.\d+\.\d+\n$/ },
  'coffer sessions': { args: [program, 'sessions'], expected: new RegExp(`^saved sessions \\(${SESSIONS}\\):\n`) },
} as const satisfies Record<string, { args: readonly string[]; expected: RegExp }>;

const PROMPT = 'the first prompt';

/**
 * Measures how long the built program takes to start, compared with a Node that does nothing: until
 * it ends, and on a terminal until it prompts. The vault has 100 sessions and its key is in a real
 * keychain; the directory is a repository with one commit.
 */
export const measureStarts: Measure = async (folder, size): Promise<Part> => {
  ensureBuild();
  const cwd = join(folder, 'project');
  const home = join(folder, 'home');
  for (const directory of [cwd, home]) mkdirSync(directory);
  const usual = { PATH: process.env['PATH'] ?? '', LANG: 'C.UTF-8', HOME: home };
  const missing = missingKeychain();
  if (missing !== undefined) {
    const lines = await measure([NODE, 'coffer --version'], { env: usual, cwd }, ROUNDS[size]);
    return { lines, curves: [], notes: [`coffer sessions and the first prompt are left out: ${missing}`] };
  }
  await using bus = await startKeychain();
  const own = { COFFER_DATA_DIR: join(folder, 'data'), COFFER_CONFIG_DIR: join(folder, 'config') };
  const place = { env: { ...usual, ...bus.env, ...own, HOME: home }, cwd };
  makeRepository(cwd);
  await fill(place);
  const lines = await measure([NODE, 'coffer --version', 'coffer sessions', PROMPT], place, ROUNDS[size]);
  return { lines, curves: [], notes: [] };
};

async function measure(
  wanted: readonly (keyof typeof COMMANDS | typeof PROMPT)[],
  place: Place,
  rounds: number,
): Promise<Line[]> {
  const tasks = wanted.map((name) => (name === PROMPT ? promptTask(place) : commandTask(name, place)));
  const spreads = await interleave(tasks, rounds);
  const floor = { what: NODE, value: spreadAt(spreads, NODE) };
  return wanted.map((name): Line => {
    if (name === NODE) return { id: 'start-node', ...floor, unit: 'ms' };
    return lineAgainst(IDS[name], WORDS[name], spreadAt(spreads, name), floor);
  });
}

const IDS = {
  'coffer --version': 'start-version',
  'coffer sessions': 'start-sessions',
  [PROMPT]: 'start-prompt',
} as const;
const WORDS = {
  'coffer --version': 'coffer --version',
  'coffer sessions': 'coffer sessions, 100 of them, the key in a real keychain',
  [PROMPT]: 'coffer on a terminal until it prompts, in the same vault',
} as const;

/**
 * Checks the command's output first, as a command that fails is fast. That run also fills the
 * compile cache, as a first start does.
 */
function commandTask(name: keyof typeof COMMANDS, { env, cwd }: Place): Task {
  const { args, expected } = COMMANDS[name];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, cwd, encoding: 'utf8' });
  const hints = stderr.replace(/^… .*list them with --all\n$/, '');
  if (status !== 0 || hints !== '' || !expected.test(stdout)) {
    throw new Error(`${name} ended with ${status} and printed ${JSON.stringify(stdout.slice(0, 200))}; ${stderr}`);
  }
  return { name, run: () => timed(name, args, { env, cwd }) };
}

function timed(name: string, args: readonly string[], { env, cwd }: Place): number {
  const start = performance.now();
  const { status } = spawnSync(process.execPath, args, { env, cwd, stdio: 'ignore' });
  const time = performance.now() - start;
  if (status !== 0) throw new Error(`${name} ended with ${status}`);
  return time;
}

function promptTask({ env, cwd }: Place): Task {
  const run = async (): Promise<number> => {
    const start = performance.now();
    await using terminal = new Terminal(process.execPath, [program, '--model', 'demo/echo'], { env, cwd });
    await terminal.waitFor(/» /);
    const time = performance.now() - start;
    const screen = terminal.screen();
    if (!/key in the keychain \(gnome-keyring\)\nlast session: .*continues it\n» $/.test(screen)) {
      throw new Error(`coffer did not start as expected: ${screen}`);
    }
    terminal.key('ctrl+d');
    const { code } = await terminal.exit;
    if (code !== 0) throw new Error(`coffer ended with ${code}: ${terminal.screen()}`);
    return time;
  };
  return { name: PROMPT, run };
}

async function fill({ env, cwd }: Place): Promise<void> {
  await using sessions = await openVault({ env, keychain: 'auto' });
  if (sessions.keys.status.state !== 'ready' || sessions.keys.status.provider !== 'gnome-keyring')
    throw new Error('the vault key did not go into the keychain');
  for (let count = 0; count < SESSIONS; count++) {
    await using session = sessions.begin({ directory: cwd, model: 'demo/echo' });
    await session.append(...eventsOf(new Transcript(count), 4096 + 128 * count));
  }
}

/** Makes the project a git repository, as most are: every start of a chat asks git about it. */
function makeRepository(directory: string): void {
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'commit.gpgSign=false'];
  const options = { cwd: directory, stdio: 'ignore' } as const;
  execFileSync('git', ['init'], options);
  execFileSync('git', [...who, 'commit', '--allow-empty', '--message', 'first'], options);
}

/** Returns why there is no real keychain and how to install one, or undefined if there is one. */
function missingKeychain(): string | undefined {
  let missing: string | undefined;
  class Missing extends Error {}
  try {
    requireKeychain({
      skip(note = 'no keychain'): never {
        missing = note;
        throw new Missing(note);
      },
    });
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
  }
  return missing;
}
