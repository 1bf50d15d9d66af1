import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import type { PermissionSettings } from '../../../src/chat/permissions.ts';
import type { ToolScope } from '../../../src/chat/tools/tool.ts';
import { type Approve, ToolBox } from '../../../src/chat/tools/toolbox.ts';
import type { NewEvent } from '../../../src/session/event/event.ts';
import { permissionEvent } from '../../../src/session/permissions.ts';
import { temporaryFolder } from '../../support/vault.ts';
import { Recorder } from '../recorder.ts';

/** The result of a call, and the steps recorded for it. */
export interface Done {
  readonly outcome: string;
  readonly text: string;
  readonly type: string;
  readonly steps: NewEvent[][];
  readonly recorder: Recorder;
}

/** A working directory, one outside it, and one of coffer, all of them real. */
export interface World {
  readonly root: string;
  readonly project: string;
  readonly outside: string;
  readonly data: string;
  /** Writes a file below `root`, creating its directory, and returns its path. */
  put(path: string, content?: string | Buffer): string;
  call(toolName: string, input: unknown, options?: CallOptions): Promise<Done>;
}

/** Options of a call. Without `permissions` and `approve`, everything is allowed. */
export interface CallOptions {
  readonly place?: Partial<ToolScope>;
  readonly permissions?: PermissionSettings;
  readonly session?: Record<string, 'allow' | 'deny'>;
  readonly approve?: Approve;
  readonly signal?: AbortSignal;
  readonly recorder?: Recorder;
}

/** Rules that allow every call that is not closed to tools. */
const everything: PermissionSettings = {
  allow: ['read', 'write', 'command', 'network', 'read:/', 'write:/'],
  deny: [],
};

/** Creates a world for one test. Commands run without a sandbox unless `place` says otherwise. */
export function world(): World {
  const root = realpathSync(temporaryFolder());
  const [project, outside, data] = ['project', 'outside', 'data'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [project, outside, data]) mkdirSync(path);
  return {
    ...{ root, project, outside, data },
    put(path, content = '') {
      const full = join(root, path);
      mkdirSync(join(full, '..'), { recursive: true });
      writeFileSync(full, content);
      return full;
    },
    async call(toolName, input, options = {}) {
      const place: ToolScope = {
        directory: project,
        protected: [data],
        env: process.env,
        commandTimeout: 20_000,
        maxToolOutput: 1024 * 1024,
        sandbox: 'off',
        ...options.place,
      };
      const box = new ToolBox({ place, permissions: options.permissions ?? everything });
      const recorder = options.recorder ?? new Recorder();
      for (const [rule, decision] of Object.entries(options.session ?? {})) {
        await recorder.record(permissionEvent({ rule, decision, directory: project, unsandboxed: true }));
      }
      const before = recorder.steps.length;
      const signal = options.signal ?? new AbortController().signal;
      await box.run({ toolCallId: 'call-1', toolName, input }, recorder, options.approve, signal);
      return { ...resultIn(recorder.steps), steps: recorder.steps.slice(before), recorder };
    },
  };
}

/** Returns the result of the last call. */
function resultIn(steps: readonly NewEvent[][]): Pick<Done, 'outcome' | 'text' | 'type'> {
  const [end, message] = steps.at(-1) ?? [];
  if (end?.type !== 'tool-end' || message?.type !== 'message')
    throw new Error('the last step is not the end of a call');
  const [part] = message.message.content as { output: { type: string; value: string } }[];
  return { outcome: end.outcome, text: part?.output.value ?? '', type: part?.output.type ?? '' };
}

/**
 * Skips the running test if bubblewrap is missing or does not work; in CI, which promises to have
 * everything, fails it instead.
 */
export function requireSandbox(context: TestContext): void {
  if (process.platform !== 'linux') context.skip('bubblewrap runs on Linux only');
  const works = spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', '--proc', '/proc', 'true']).status === 0;
  if (works) return;
  const note = 'bwrap missing or not allowed to work; install with: apt-get install -y bubblewrap';
  if ((process.env['COFFER_TEST_REQUIRE'] ?? '').split(',').includes('keychain')) throw new Error(note);
  context.skip(note);
}

/** Skips the running test if it is not run by root. */
export function requireRoot(context: TestContext): void {
  if (process.platform === 'linux' && process.geteuid?.() === 0) return;
  context.skip('mounts and devices need root; run with: sudo env "PATH=$PATH" npm test');
}

/** Returns the command lines of running processes that match; zombies have none. */
export function running(pattern: RegExp): string[] {
  const lines =
    process.platform === 'linux'
      ? readdirSync('/proc')
          .filter((name) => /^\d+$/.test(name))
          .map(commandLine)
      : execFileSync('ps', ['-axww', '-o', 'command='], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => pattern.test(line));
}

/** Resolves once `condition` holds; otherwise the test ends by its time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function commandLine(id: string): string {
  try {
    return readFileSync(`/proc/${id}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
  } catch {
    // It has ended since it was listed.
    return '';
  }
}
