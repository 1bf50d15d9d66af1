import { realpath } from 'node:fs/promises';
import { relative } from 'node:path';
import { z } from 'zod';
import { CofferError } from '../../errors.ts';
import { isWithin } from '../permissions.ts';
import { Closed } from './closed.ts';
import { commandEnv, plainLaunch } from './launch.ts';
import { type Ended, runProgram } from './program.ts';
import { busIsOnNetwork, type Confined, confine, findSandbox } from './sandbox.ts';
import { defineTool, type Outcome, type Place, type Tool } from './tool.ts';

/** Runs a command line. */
export const runCommand: Tool = defineTool({
  name: 'run_command',
  description:
    'Runs a command line with /bin/sh in the working directory and gives what it prints and how it ended. It has no terminal and no input; to print an error use >&2, not /dev/stderr. Everything it started ends with it. Where it runs in a sandbox it can write in the working directory and /tmp alone, and reaches no network unless network is true and the person allows that.',
  input: z.strictObject({
    command: z
      .string()
      .regex(/^[^\0]*$/)
      .regex(/\S/)
      .describe('the command line'),
    network: z.boolean().optional().describe('whether it needs the network'),
    timeout: z.number().positive().optional().describe('seconds after which it is ended'),
  }),
  async plan({ command, network = false, timeout }, place) {
    const directory = await realpath(place.directory);
    const closed = await Closed.in(place);
    await closed.refuse(directory, 'the working directory');
    const sandbox = place.sandbox === 'off' ? 'it is switched off' : await findSandbox(place.env, directory);
    const limit = Math.min(place.commandTimeout, timeout === undefined ? Number.POSITIVE_INFINITY : timeout * 1000);
    if (typeof sandbox === 'string' && place.sandbox === 'required') {
      throw new CofferError('FAILED', `no command is run without a sandbox, and there is none: ${sandbox}`);
    }
    const sandboxed = typeof sandbox !== 'string';
    return {
      rule: `${network ? 'network' : 'command'}:${command}`,
      about: `run ${firstLine(command)}${network ? ' (with network)' : ''}`,
      // How it runs comes first: of a long command the rest is shown only if somebody asks for it.
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

function describeSandbox(network: boolean, { env }: Place, directory: string): string {
  const bus = network && busIsOnNetwork(env) ? ', and by it the session bus with your keychain' : '';
  const reach = network ? `the network is open to it${bus}` : 'no network';
  const home = env['HOME'] !== undefined && isWithin(directory, env['HOME']);
  const beware = home ? '; your home is in it: what it changes there may be run later, outside the sandbox' : '';
  const where = `writes in the working directory and a /tmp of its own only${beware}`;
  return `runs in a sandbox: ${where}; ${reach}; coffer's files and what usually holds a secret are hidden`;
}

/** Says what was renamed and why, for the model to tell the user: only the user may undo it. */
function describeAside({ aside, unseen }: Awaited<ReturnType<Confined['finish']>>, directory: string): string {
  const name = (path: string): string => relative(directory, path);
  return [
    ...aside.map(
      ({ from, to }) => `[${name(from)} was renamed to ${name(to)}: other programs would run what is in it]\n`,
    ),
    ...unseen.map((path) => `[${name(path)} could not be looked into]\n`),
  ].join('');
}

function describeNone(why: string): string {
  return `runs without a sandbox (${why}): it can do whatever you can, the network included, whether it was asked for or not`;
}

function describe(ended: Ended, limit: number, place: Place): Outcome {
  const text = ended.output.toString();
  const gap = text === '' || text.endsWith('\n') ? '' : '\n';
  const seconds = `${limit / 1000} s`;
  const how = {
    exited: `exit status ${ended.status}`,
    signalled: `ended by ${ended.signal}`,
    timeout: `ended after ${seconds}, the most it may run`,
    flooded: `ended after ${place.maxToolOutput} bytes of output, the most there may be`,
    cancelled: 'cancelled by the person',
    failed: `nothing was run: ${ended.fault}`,
  }[ended.how];
  const failed = ended.how !== 'exited' || ended.status !== 0;
  return { text: `${text}${gap}[${how}]\n`, failed, ...(ended.how === 'cancelled' ? { cancelled: true } : {}) };
}
