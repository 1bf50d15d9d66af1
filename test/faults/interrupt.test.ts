import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { requireStrace } from '../files/facilities.ts';
import { requireKeychain } from '../support/keychain.ts';
import { hasNamespaces } from './apart.ts';
import { DEVICE_NEEDS } from './block-device.ts';

const isRoot = process.getuid?.() === 0;
/** Without root nothing can be mounted. */
const names = isRoot ? ['power cut', 'the keychain'] : ['the keychain'];

/** Time something may take to appear or disappear, in milliseconds, on a busy machine. */
const PATIENCE = 100_000;

let temp: string;
/** The loop devices of the campaigns. */
let attached: readonly string[] = [];
let main: ChildProcess | undefined;

beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), 'coffer-i-'));
});

afterEach(() => {
  main?.kill('SIGTERM');
  main = undefined;
  rmSync(temp, { recursive: true, force: true });
});

describe('a campaign that is interrupted', { timeout: 3 * PATIENCE }, () => {
  it.for(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const)(
    'leaves nothing behind if the program that runs the campaigns gets %s',
    async (signal, context) => {
      requireCampaigns(context);
      const started = await startedBy(start(...names));
      const ended = once(main!, 'exit');
      main!.kill(signal);
      expect(await ended).toEqual([null, signal]);
      await expectNothingLeft(started);
    },
  );

  it('leaves nothing behind if its own process is killed, and is reported', async (context) => {
    requireCampaigns(context);
    const [name] = names;
    const { stderr } = start(name!);
    const said = text(stderr!);
    const started = await startedBy(main!, name);
    const ended = once(main!, 'exit');
    process.kill(started.find(({ args }) => args[0] === process.execPath && args.includes(name!))!.pid, 'SIGKILL');
    expect(await ended).toEqual([1, null]);
    expect(await said).toMatch(new RegExp(`^${name}: broke off with 137 after \\d+ s; it was at: `, 'm'));
    await expectNothingLeft(started);
  });

  it('is reported with its limit and its current step', async (context) => {
    if (process.platform !== 'linux') context.skip('campaigns run on Linux');
    const child = start('writers', '--limit=8');
    const [said, [code]] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
    expect(said).toMatch(/^two writers: ended after 8 s, its limit; it was at: .+$/m);
    expect(code).toBe(1);
    await expectNothingLeft([]);
  });
});

/** A process, with its start time to distinguish it from a later one with the same number. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly began: string;
  readonly args: readonly string[];
}

function requireCampaigns(context: TestContext): void {
  requireKeychain(context);
  requireStrace(context);
  if (!hasNamespaces()) context.skip('namespaces need root, or a kernel that lets users make some');
  if (!isRoot) return;
  const programs = DEVICE_NEEDS.filter((need) => need !== 'root');
  const missing = programs.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (missing.length === 0) return;
  const note = `${missing.join(', ')} missing; install with: apt-get install -y nbdkit nbdkit-plugin-python libnbd-bin fuse3`;
  if (process.env['COFFER_TEST_REQUIRE']) throw new Error(note);
  context.skip(note);
}

/** Starts campaigns whose temporary folders are all in `temp`. */
function start(...args: readonly string[]): ChildProcess {
  const script = join(import.meta.dirname, 'main.ts');
  main = spawn(process.execPath, [script, '--short', '--seed=1', ...args], {
    env: { ...process.env, TMPDIR: temp },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return main;
}

/**
 * Waits until campaigns have mounted, attached and started everything that they would leave behind
 * without a clean-up, and lists their processes.
 */
async function startedBy({ pid }: ChildProcess, ...some: readonly (string | undefined)[]): Promise<Process[]> {
  const wanted = some.length > 0 ? some : names;
  for (const until = Date.now() + PATIENCE; Date.now() < until; await pause(100)) {
    const started = descendantsOf(pid!);
    const keyrings = started.filter(({ args }) => args[0] === 'gnome-keyring-daemon').length;
    const isMounted = started.some((one) => mountsOf(one.pid).some((mount) => mount.endsWith('/device-1/root')));
    attached = loops();
    if (keyrings >= wanted.length && (!isRoot || (isMounted && attached.length > 0))) return started;
  }
  throw new Error(`not started in time: ${JSON.stringify(descendantsOf(pid!))}`);
}

/** Leftovers of a killed program end a moment later. */
async function expectNothingLeft(started: readonly Process[]): Promise<void> {
  const left = (): unknown => {
    const running = new Map(processes().map((one) => [one.pid, one]));
    return {
      processes: started
        .filter(({ pid, began }) => running.get(pid)?.began === began)
        .map(({ args }) => args.join(' ')),
      mounts: mountsOf('self'),
      // The path of a file is lost with the mounts; its number is not.
      loops: loops(false).filter((loop) => attached.includes(loop)),
      folders: readdirSync(temp),
    };
  };
  await expect
    .poll(left, { timeout: PATIENCE / 2, interval: 100 })
    .toEqual({ processes: [], mounts: [], loops: [], folders: [] });
}

function descendantsOf(ancestor: number): Process[] {
  const children = Map.groupBy(processes(), ({ parent }) => parent);
  const below = (pid: number): Process[] => (children.get(pid) ?? []).flatMap((one) => [one, ...below(one.pid)]);
  return below(ancestor);
}

function processes(): Process[] {
  return readdirSync('/proc').flatMap((name): Process[] => {
    if (!/^\d+$/.test(name)) return [];
    const stat = read(`/proc/${name}/stat`);
    const [state, parent, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === undefined || state === '' || state === 'Z') return [];
    const args = read(`/proc/${name}/cmdline`).split('\0').slice(0, -1);
    return [{ pid: Number(name), parent: Number(parent), began: rest[17]!, args }];
  });
}

/** Lists the mount points below `temp` that a process sees. */
function mountsOf(process: number | 'self'): string[] {
  const lines = read(`/proc/${process}/mountinfo`).split('\n');
  return lines.flatMap((line) => line.split(' ')[4] ?? []).filter((path) => path.startsWith(`${temp}/`));
}

/**
 * Lists loop devices with the numbers of their files: those of files below `temp`, or all of them.
 */
function loops(isOurs = true): string[] {
  const args = ['--list', '--noheadings', '--raw', '--output', 'NAME,BACK-INO,BACK-MAJ:MIN,BACK-FILE'];
  const { stdout } = spawnSync('losetup', args, { encoding: 'utf8' });
  const lines = (stdout ?? '').split('\n').filter((line) => !isOurs || line.includes(temp));
  return lines.map((line) => line.split(' ').slice(0, 3).join(' '));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has ended
  }
}
