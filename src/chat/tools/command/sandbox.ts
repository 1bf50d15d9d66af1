import { spawn } from 'node:child_process';
import { chmod, lstat, realpath, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { isWithin } from '../../permissions.ts';
import {
  type Bounds,
  base,
  existing,
  fixedPaths,
  hiddenPaths,
  isGranted,
  makeOwn,
  outermost,
  PRIVATE,
  sandboxArguments,
} from '../../sandbox/arguments.ts';
import { type Aside, putAside } from '../../sandbox/aside.ts';
import { systemCallFilter } from '../../sandbox/seccomp.ts';
import { survey } from '../../sandbox/survey.ts';
import { commandEnv, type Launch, watched } from './launch.ts';
import { sendFilter } from './program.ts';

/** A bubblewrap that works on this machine. */
export interface Sandbox {
  /** Path of the program. */
  readonly bwrap: string;
}

/**
 * Finds bubblewrap and tries once per process whether it works: unprivileged user namespaces may be
 * off, or a container may forbid them. Returns the reason if there is none. A program of that name
 * that the model could have put there is not used: it must belong to root, be writable by root
 * only, and lie outside the working directory (unless that is the whole disk).
 */
export async function findSandbox(env: NodeJS.ProcessEnv, directory: string): Promise<Sandbox | string> {
  if (process.platform !== 'linux') return 'bubblewrap runs on Linux only';
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((path) => isAbsolute(path))) {
    const bwrap = await trusted(join(folder, 'bwrap'), directory);
    if (bwrap === undefined) continue;
    const fault = await (tried.get(bwrap) ?? remember(bwrap, tryOut(bwrap)));
    return fault === undefined ? { bwrap } : `bubblewrap does not work here: ${fault}`;
  }
  return 'bubblewrap is not installed';
}

/** A command in a sandbox: how to start it, and what to do once it has ended. */
export interface Confined {
  readonly launch: Launch;
  /**
   * Renames files that the command has created and other programs would run. Must be called once
   * nothing runs in the sandbox any more. Returns what was renamed (`aside`) and the directories
   * that could not be inspected (`unseen`).
   */
  finish(): Promise<{ readonly aside: readonly Aside[]; readonly unseen: readonly string[] }>;
}

/**
 * Prepares a command in a sandbox. The sandbox ends with coffer, and everything in it with the
 * sandbox.
 */
export async function confine({ bwrap }: Sandbox, command: string, bounds: Bounds): Promise<Confined> {
  const { place, directory } = bounds;
  const hidden = await hiddenPaths(place, directory);
  await makeOwn(place, directory);
  const left = [...hidden, ...(directory === '/' ? PRIVATE : [])];
  const before = await survey(directory, left);
  const secrets = await existing(before.secrets.filter((path) => !isGranted(path, place)));
  const fixed = await mountable(fixedPaths(before, place, directory));
  const options = await sandboxArguments(bounds, outermost([...hidden, ...secrets]), fixed);
  const env = { ...commandEnv(place.env), TMPDIR: '/tmp' };
  const filter = systemCallFilter(bounds.network);
  const args = ['--info-fd', '4', ...filtered(filter), ...options, '--', ...watched(command)];
  return {
    launch: { file: bwrap, args, directory, env, sandboxed: true, filter },
    async finish() {
      const isNew = (path: string): boolean => !before.unseen.includes(path);
      let after = await survey(directory, left);
      const closed = after.unseen.filter(isNew);
      // The command has removed the permission to read them, which the owner can restore.
      await Promise.all(closed.map((path) => chmod(path, 0o700).catch(() => undefined)));
      if (closed.length > 0) after = await survey(directory, left);
      const unseen = after.unseen.filter(isNew);
      return { aside: await putAside(before, after, place.granted?.write ?? []), unseen };
    },
  };
}

/**
 * Leaves out links: they can't be mounted on and need not be, since their targets are, and a link
 * that replaces one is put aside.
 */
async function mountable(paths: readonly string[]): Promise<string[]> {
  // A failure means that it is gone since it was listed.
  const found = await Promise.all(paths.map((path) => lstat(path).catch(() => undefined)));
  return paths.filter((_, n) => found[n]?.isFile() || found[n]?.isDirectory());
}

/**
 * Tells whether a command with network access could reach the session bus and so the keychain.
 * Hiding files does not prevent that.
 */
export function busIsOnNetwork(env: NodeJS.ProcessEnv): boolean {
  return /(^|;)\s*(unix:(.*,)?abstract=|n?once-?tcp:|tcp:)/.test(env['DBUS_SESSION_BUS_ADDRESS'] ?? '');
}

async function trusted(path: string, directory: string): Promise<string | undefined> {
  try {
    const real = await realpath(path);
    const found = await stat(real);
    const ours = found.isFile() && found.uid === 0 && (found.mode & 0o022) === 0;
    return ours && (directory === '/' || !isWithin(directory, real)) ? real : undefined;
  } catch {
    // Not in this folder, or not accessible: the next one may have it.
    return undefined;
  }
}

const tried = new Map<string, Promise<string | undefined>>();

function remember(bwrap: string, answer: Promise<string | undefined>): Promise<string | undefined> {
  tried.set(bwrap, answer);
  return answer;
}

function filtered(filter: Buffer | undefined): string[] {
  return filter === undefined ? [] : ['--seccomp', '5'];
}

/** Runs the smallest possible sandbox; returns why that failed, or undefined. */
async function tryOut(bwrap: string): Promise<string | undefined> {
  const filter = systemCallFilter(false);
  const args = [...filtered(filter), ...base('--ro-bind', false), '--', '/bin/sh', '-c', ':'];
  const stdio = ['ignore', 'ignore', 'pipe', 'ignore', 'ignore', 'pipe'] as const;
  const child = spawn(bwrap, args, { env: {}, timeout: 10_000, stdio: [...stdio] });
  if (filter) sendFilter(child, filter);
  const ended = new Promise<number | string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(code));
  });
  const errors = await text(child.stderr as Readable).catch(() => '');
  const code = await ended;
  if (code === 0) return undefined;
  return errors.trim().split('\n')[0] || `it exited with ${code}`;
}
