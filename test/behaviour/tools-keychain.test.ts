import { spawn } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, it, type TestContext, vi } from 'vitest';
import { requireSandbox } from '../chat/tools/support.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { type Bus, requireKeychain, startKeychain } from '../support/keychain.ts';
import { PROGRAM } from '../support/program.ts';
import { temporaryFolder } from '../support/vault.ts';

const repository = join(import.meta.dirname, '..', '..');
const coffer = `'${process.execPath}' '${PROGRAM}'`;

// The working directory: tools inspect all of it, so it holds only what these tests make.
beforeEach(() => {
  vi.stubEnv('TMPDIR', temporaryFolder());
  return () => void vi.unstubAllEnvs();
});

/** Words the user has said in a chat, and the provider's key. Neither may leak. */
const SAID = 'quinces-in-the-cellar';
const PROVIDER_KEY = 'sk-ant-quinces';

/**
 * Makes calls as coffer does, with everything allowed, and prints the results. The commands come on
 * standard input.
 */
const program = `
  const { ToolBox } = await import(${module('src/chat/tools/toolbox.ts')});
  const { protectedPaths } = await import(${module('src/live/host/protected.ts')});
  const { json } = await import('node:stream/consumers');
  const { calls, vault, sandbox, directory } = await json(process.stdin);
  const place = {
    directory, sandbox, env: process.env, commandTimeout: 30_000, maxToolOutput: 1_000_000,
    protected: protectedPaths(process.env, vault),
  };
  const allow = ['read', 'write', 'command', 'network', 'read:/', 'write:/'];
  const box = new ToolBox({ place, permissions: { allow, deny: [] } });
  const results = [];
  const record = async (...events) => {
    for (const event of events) if (event.type === 'message') results.push(event.message.content[0].output);
  };
  for (const [toolName, input] of calls) {
    const filled = JSON.parse(JSON.stringify(input).replaceAll('COFFER_PID', process.pid));
    const session = { record, state: { permissions: [] } };
    await box.run({ toolCallId: 'c', toolName, input: filled }, session, undefined, new AbortController().signal);
  }
  console.log(JSON.stringify(results));
`;

function module(path: string): string {
  return JSON.stringify(pathToFileURL(join(repository, path)).href);
}

type Call = readonly [toolName: string, input: Record<string, unknown>];

/**
 * A real keychain with the key of a real vault, in a home under the working directory: the worst
 * possible place.
 */
interface Kept {
  readonly place: Place;
  readonly bus: Bus;
  readonly vault: string;
  readonly secret: string;
  readonly keyId: string;
  /** The environment of coffer. */
  readonly env: Record<string, string>;
  calls(sandbox: 'off' | 'required', ...calls: Call[]): Promise<{ type: string; value: string }[]>;
}

async function keep(): Promise<Kept & AsyncDisposable> {
  const bus = await startKeychain();
  const place = await makePlace();
  const { COFFER_DATA_DIR: _d, COFFER_CONFIG_DIR: _c, COFFER_KEY_FD: _f, COFFER_KEYCHAIN: _k, ...plain } = place.env;
  const env = { ...plain, ...bus.env, ANTHROPIC_API_KEY: PROVIDER_KEY };
  const unset = { COFFER_DATA_DIR: undefined, COFFER_CONFIG_DIR: undefined, COFFER_KEY_FD: undefined };
  const begun = await place.run(['--model', 'demo/echo'], {
    env: { ...unset, COFFER_KEYCHAIN: undefined, ...bus.env },
    input: `${SAID}\n`,
  });
  expect(begun).toMatchObject({ code: 0, stdout: `echo: ${SAID}\n` });
  const vault = join(bus.env.HOME, '.local/share/coffer');
  const { key: keyId } = JSON.parse(await readFile(join(vault, 'vault.json'), 'utf8'));
  const [item] = await bus.items();
  return {
    ...{ place, bus, vault, keyId, env, secret: item?.secret ?? '' },
    async calls(sandbox, ...calls) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env, cwd: place.project });
      child.stdin.end(JSON.stringify({ calls, vault, sandbox, directory: realpathSync(tmpdir()) }));
      const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
      if (output === '') throw new Error(errors);
      return JSON.parse(output);
    },
    async [Symbol.asyncDispose]() {
      await place[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
    },
  };
}

/** Lists every secret found in the answers. */
function leaks({ secret }: Kept, answers: readonly { value: string }[]): string[] {
  const all = answers.map(({ value }) => value).join('\n');
  return [SAID, PROVIDER_KEY, secret].filter((word) => all.includes(word));
}

/**
 * Returns a command that contains the address of the bus and the path of the vault, as a model may
 * know them.
 */
function knowing({ env, vault }: Kept, command: string): string {
  const known = ['DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR', 'HOME'].map((name) => `${name}='${env[name]}'`);
  return `env ${known.join(' ')} COFFER_DATA_DIR='${vault}' ${command}`;
}

function command(line: string, network = false): Call {
  return ['run_command', { command: line, network }];
}

describe('a tool call of a model does not open the vault', () => {
  it.for([
    ['without a sandbox', 'off', () => undefined],
    ['in a sandbox', 'required', requireSandbox],
  ] as const)('by a command as it is started: %s', async ([, sandbox, needs], context: TestContext) => {
    requireKeychain(context);
    needs(context);
    await using kept = await keep();
    const lookUp = `secret-tool lookup service coffer account ${kept.keyId}`;
    const answers = await kept.calls(sandbox, command(lookUp), command(`${coffer} export 1`), command('env'));
    expect(leaks(kept, answers)).toEqual([]);
    expect(answers.map(({ type }) => type)).toEqual(['error-text', 'error-text', 'text']);
    expect(answers[2]?.value).not.toMatch(/DBUS|XDG_RUNTIME|COFFER|ANTHROPIC/);
  });

  it('by a command in a sandbox that knows all the addresses and paths', async (context) => {
    requireKeychain(context);
    requireSandbox(context);
    await using kept = await keep();
    const lines = [
      knowing(kept, `secret-tool lookup service coffer account ${kept.keyId}`),
      knowing(kept, `${coffer} export 1`),
      'cat /proc/COFFER_PID/environ /proc/$PPID/environ',
      'cat /proc/COFFER_PID/mem',
      `ls -A '${kept.vault}/sessions'`,
      `cat '${kept.env['HOME']}/.local/share/keyrings/'*`,
    ];
    for (const network of [false, true]) {
      const answers = await kept.calls('required', ...lines.map((line) => command(line, network)));
      expect(leaks(kept, answers)).toEqual([]);
      expect(answers.map(({ type }) => type)).toEqual(lines.map(() => 'error-text'));
    }
    const [hidden] = await kept.calls('required', command(`ls -A '${kept.vault}'`));
    expect(hidden?.value).toBe('[exit status 0]\n');
  });

  it('by a command that destroys what it can reach', async (context) => {
    requireKeychain(context);
    requireSandbox(context);
    await using kept = await keep();
    const before = readFileSync(join(kept.vault, 'vault.json'));
    const home = kept.env['HOME'];
    await kept.calls(
      'required',
      command(`rm -rf '${kept.vault}' '${home}/.local'`),
      command(`mv '${home}/.local/share' '${home}/gone'; mv '${home}/.local' '${home}/gone'`),
      command(`rm -rf '${home}'/*/coffer '${home}'/*/*/coffer`),
    );
    expect(readFileSync(join(kept.vault, 'vault.json'))).toEqual(before);
    const { DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, HOME } = kept.bus.env;
    const exported = await kept.place.exported('1', {
      env: {
        ...{ DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR, HOME, COFFER_DATA_DIR: kept.vault },
        ...{ COFFER_KEYCHAIN: 'auto', COFFER_KEY_FD: undefined },
      },
    });
    expect(JSON.stringify(exported)).toContain(SAID);
  });

  it('by a tool that reads files', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const paths = [
      join(kept.vault, 'vault.json'),
      join(kept.env['HOME'] ?? '', '.local/share/keyrings/login.keyring'),
      '/proc/COFFER_PID/environ',
      '/proc/self/environ',
    ];
    const answers = await kept.calls('off', ...paths.map((path): Call => ['read_file', { path }]));
    expect(leaks(kept, answers)).toEqual([]);
    expect(answers.map(({ value }) => value)).toEqual(paths.map(() => expect.stringMatching(/closed to tools/)));
  });

  it('but a command without a sandbox that looks for the key opens it, as SECURITY.md says', async (context) => {
    requireKeychain(context);
    await using kept = await keep();
    const [lookedUp, exported, environment] = await kept.calls(
      'off',
      command(knowing(kept, `secret-tool lookup service coffer account ${kept.keyId}`)),
      command(knowing(kept, `${coffer} export 1`)),
      command("tr '\\0' '\\n' < /proc/COFFER_PID/environ"),
    );
    expect(lookedUp?.value).toContain(kept.secret);
    expect(exported?.value).toContain(SAID);
    expect(environment?.value).toContain(PROVIDER_KEY);
  });
});
