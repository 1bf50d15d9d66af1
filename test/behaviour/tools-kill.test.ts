import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { requireSandbox, running, until, world } from '../chat/tools/support.ts';
import { requireUnix } from '../support/keychain.ts';

const toolbox = pathToFileURL(join(import.meta.dirname, '..', '..', 'src/chat/tools/toolbox.ts')).href;

/** Makes one call as coffer does. Arguments: the working directory, the sandbox, the command. */
const program = `
  const { ToolBox } = await import(${JSON.stringify(toolbox)});
  const [directory, sandbox, command] = process.argv.slice(1);
  const place = { directory, sandbox, env: process.env, protected: [], commandTimeout: 600_000, maxToolOutput: 1000 };
  const box = new ToolBox({ place, permissions: { allow: ['command'], deny: [] } });
  const session = { record: async () => undefined, state: { permissions: [] } };
  const call = { toolCallId: 'c', toolName: 'run_command', input: { command } };
  await box.run(call, session, undefined, new AbortController().signal);
`;

function start(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, ...args], { stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe.for([
  ['without a sandbox', 'off', requireUnix],
  ['in a sandbox', 'required', requireSandbox],
] as const)('a command %s', ([, sandbox, needs]) => {
  it.for(['SIGKILL', 'SIGTERM', 'SIGHUP'] as const)(
    'ends with coffer, even if coffer ends by %s',
    async (signal, context) => {
      needs(context);
      const seconds = `2000.${process.pid}${signal.length}${sandbox.length}`;
      const stubborn = `trap '' HUP INT TERM; sleep ${seconds} & while :; do sleep ${seconds}; done`;
      const coffer = start(world().project, sandbox, stubborn);
      await until(() => running(new RegExp(`^(/bin/)?sleep ${seconds}$`)).length === 2);
      const exit = once(coffer, 'exit');
      coffer.kill(signal);
      expect(await exit).toEqual([null, signal]);
      await until(() => running(new RegExp(`sleep ${seconds}`)).length === 0);
    },
  );
});
