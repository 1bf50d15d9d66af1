import { realpath } from 'node:fs/promises';
import { relative } from 'node:path';
import { z } from 'zod';
import { CofferError } from '../../../errors.ts';
import { isWithin } from '../../permissions.ts';
import { Closed } from '../access/closed.ts';
import { defineTool, type Tool, type ToolOutcome, type ToolScope } from '../tool.ts';
import { commandEnv, plainLaunch } from './launch.ts';
import { type Ended, runProgram } from './program.ts';
import { busIsOnNetwork, type Confined, confine, findSandbox } from './sandbox.ts';

/** Runs a shell command. */
export const runCommand: Tool = defineTool({
  name: 'run_command',
  description:
    'Runs a shell command with /bin/sh in the working directory and returns its output and exit status. The command has no terminal and its standard input is empty. To print to standard error use >&2, not /dev/stderr. Background processes are killed when the command ends. In a sandbox the command can write only to the working directory and /tmp, and has no network access unless network is true and the user allows it.',
  input: z.strictObject({
    command: z
      .string()
      .regex(/^[^\0]*$/)
      .regex(/\S/)
      .describe('the shell command'),
    network: z.boolean().optional().describe('true if the command needs network access'),
    timeout: z.number().positive().optional().describe('seconds after which the command is killed'),
  }),
  async plan({ command, network = false, timeout }, place) {
    const directory = await realpath(place.directory);
    const closed = await Closed.in(place);
    await closed.refuse(directory, 'the working directory');
    const sandbox = place.sandbox === 'off' ? 'it is turned off' : await findSandbox(place.env, directory);
    const limit = Math.min(place.commandTimeout, timeout === undefined ? Number.POSITIVE_INFINITY : timeout * 1000);
    if (typeof sandbox === 'string' && place.sandbox === 'required') {
      throw new CofferError('FAILED', `commands must run in a sandbox, and none is available: ${sandbox}`);
    }
    const sandboxed = typeof sandbox !== 'string';
    return {
      rule: `${network ? 'network' : 'command'}:${command}`,
      about: `run ${firstLine(command)}${network ? ' (with network)' : ''}`,
      // How it runs comes first: a long command is shown in full only if the user asks for it.
      detail: `${sandboxed ? describeSandbox(network, place, directory) : describeNone(sandbox)}\n\n${command}`,
      sandboxed,
      async run(signal) {
        const bounds = { limit, most: place.maxToolOutput };
        if (!sandboxed) {
          const launch = plainLaunch(command, directory, commandEnv(place.env));
          return describe(await runProgram(launch, bounds, signal), limit, place);
        }
        const confined = await confine(sandbox, command, { place, directory, network });
        const ended = await runProgram(confined.launch, bounds, signal);
        const { text, ...outcome } = describe(ended, limit, place);
        return { ...outcome, text: `${text}${describeAside(await confined.finish(), directory)}` };
      },
    };
  },
});

function firstLine(command: string): string {
  const [first = '', ...more] = command.trim().split('\n');
  const cut = first.length > 200 ? `${first.slice(0, 199)}…` : first;
  return more.length === 0 ? cut : `${cut} … (${more.length + 1} lines)`;
}

function describeSandbox(network: boolean, { env }: ToolScope, directory: string): string {
  const bus = network && busIsOnNetwork(env) ? ', including the session bus and with it your keychain' : '';
  const reach = network ? `network access${bus}` : 'no network';
  const home = env['HOME'] !== undefined && isWithin(directory, env['HOME']);
  const warning = home ? '; that includes your home: what it changes there may run later, outside the sandbox' : '';
  const where = `can write only in the working directory and a private /tmp${warning}`;
  return `runs in a sandbox: ${where}; ${reach}; coffer's files and files that usually hold secrets are hidden`;
}

/** Describes what was renamed and why, for the model to pass on: only the user may undo it. */
function describeAside({ aside, unseen }: Awaited<ReturnType<Confined['finish']>>, directory: string): string {
  const name = (path: string): string => relative(directory, path);
  return [
    ...aside.map(({ from, to }) => `[${name(from)} was renamed to ${name(to)}: other programs would run it]\n`),
    ...unseen.map((path) => `[${name(path)} could not be inspected]\n`),
  ].join('');
}

function describeNone(why: string): string {
  return `runs without a sandbox (${why}): it can do anything you can, including using the network, even if that was not requested`;
}

function describe(ended: Ended, limit: number, place: ToolScope): ToolOutcome {
  const text = ended.output.toString();
  const gap = text === '' || text.endsWith('\n') ? '' : '\n';
  const seconds = `${limit / 1000} s`;
  const how = {
    exited: `exit status ${ended.status}`,
    signalled: `killed by ${ended.signal}`,
    timeout: `killed after ${seconds}, its time limit`,
    flooded: `killed after ${place.maxToolOutput} bytes of output, the limit`,
    cancelled: 'cancelled by the user',
    failed: `not run: ${ended.fault}`,
  }[ended.how];
  const failed = ended.how !== 'exited' || ended.status !== 0;
  return { text: `${text}${gap}[${how}]\n`, failed, ...(ended.how === 'cancelled' ? { cancelled: true } : {}) };
}
