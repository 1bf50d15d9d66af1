import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BrokerProcess, trimmed } from '../../src/keyring/broker/broker-process.ts';
import { KeytarKeyring } from '../../src/keyring/keytar.ts';
import { startSilentPrompter } from '../support/dbus-service.ts';
import { type Bus, requireKeychain, startBus, startKeychain } from '../support/keychain.ts';
import { PROMPT, ROOMY, ROOMY_ATTENDED } from '../support/patience.ts';

const KEY_ID = '00112233445566778899aabbccddeeff';
const CANARIES = {
  OPENAI_API_KEY: 'canary-of-a-model-key',
  COFFER_PASSPHRASE_FILE: '/canary/of/a/passphrase',
  COFFER_KEY_FD: '77',
  NODE_OPTIONS: '--title=canary-of-options',
  AWS_SESSION_TOKEN: 'canary-of-a-token',
};

describe('the broker', () => {
  it('has neither the secret nor other programs’ secrets in its arguments and environment', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const secret = randomBytes(32);
    const seen: string[] = [];
    const env = { ...envOf(keychain), ...CANARIES };
    const onBroker = (broker: BrokerProcess): void => void seen.push(whatIsSeenOf(broker));
    const keyring = new KeytarKeyring({ env, patience: ROOMY, onBroker });
    expect((await keyring.set(KEY_ID, secret)).outcome).toBe('READY');
    expect((await keyring.delete(KEY_ID)).outcome).toBe('READY');
    expect(seen).toHaveLength(2);
    for (const text of seen) {
      expect(text).toContain('broker.ts');
      expect(text).toContain(keychain.env.DBUS_SESSION_BUS_ADDRESS);
      expect(text).not.toMatch(/canary|COFFER_KEY_FD/);
      for (const form of formsOf(secret)) expect(text).not.toContain(form);
    }
  });

  it('passes the secret to no program that is started, according to strace', async (context) => {
    requireKeychain(context);
    if (!(await isInstalled('strace'))) context.skip('strace is missing; install with: apt-get install -y strace');
    await using keychain = await startKeychain();
    const secret = randomBytes(32);
    const trace = join(keychain.directory, 'trace');
    const script = ask({ secret: secret.toString('hex'), patience: ROOMY, call: 'set' });
    const args = ['-f', '-qq', '-v', '-s', '65536', '-e', 'trace=execve,execveat', '-o', trace];
    const env = { ...envOf(keychain), ...CANARIES };
    // The secret is passed on stdin, so anything in the trace can only come from coffer.
    await finished(
      spawn('strace', [...args, process.execPath, '--input-type=module', '-'], {
        env,
        stdio: ['pipe', 'ignore', 'inherit'],
      }),
      script,
    );
    const text = readFileSync(trace, 'utf8');
    const started = text.split('\n').filter((line) => line.includes('broker.ts'));
    expect(started).toHaveLength(1);
    expect(started[0]).not.toMatch(/canary/);
    for (const form of formsOf(secret)) expect(text).not.toContain(form);
    expect((await keychain.items())[0]?.secret).toBe(secret.toString('base64'));
  });

  it('does not write the secret to any file', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const secret = randomBytes(32);
    const temporary = join(keychain.directory, 'tmp');
    mkdirSync(temporary);
    const env = { ...envOf(keychain), TMPDIR: temporary };
    const keyring = new KeytarKeyring({ env, patience: ROOMY });
    await keyring.set(KEY_ID, secret);
    await keyring.get(KEY_ID);
    expect(filesWith(keychain.directory, formsOf(secret))).toEqual([]);
    writeFileSync(join(temporary, 'control'), `key=${secret.toString('base64')}`);
    expect(filesWith(keychain.directory, formsOf(secret))).toEqual([join(temporary, 'control')]);
  });

  it('is gone once it has replied, and if it was not needed', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const brokers: BrokerProcess[] = [];
    const onBroker = (broker: BrokerProcess): void => void brokers.push(broker);
    const keyring = new KeytarKeyring({ env: envOf(keychain), patience: ROOMY, onBroker });
    expect((await keyring.delete(KEY_ID)).outcome).toBe('NOT_FOUND');
    expect((await keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('READY');
    await keychain.lockCollection();
    expect((await keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('LOCKED');
    expect(brokers.map(({ isAlive }) => isAlive)).toEqual([false, false, false]);
  });

  it('serves the request after a probe, so that it starts only once', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    let started = 0;
    const onBroker = (): void => void started++;
    const keyring = new KeytarKeyring({ env: envOf(keychain), patience: ROOMY, onBroker });
    await keyring.probe();
    await keyring.probe();
    expect((await keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('READY');
    expect(started).toBe(1);
    expect((await keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('READY');
    expect(started).toBe(2);
  });

  it('is started again if the probe’s broker has exited meanwhile', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const brokers: BrokerProcess[] = [];
    const onBroker = (broker: BrokerProcess): void => void brokers.push(broker);
    const keyring = new KeytarKeyring({ env: envOf(keychain), patience: ROOMY, onBroker });
    await keyring.probe();
    brokers[0]?.kill();
    expect((await keyring.set(KEY_ID, randomBytes(32))).outcome).toBe('READY');
    expect(brokers).toHaveLength(2);
  });

  it('is started once for two concurrent probes', async (context) => {
    requireKeychain(context);
    await using keychain = await startKeychain();
    const brokers: BrokerProcess[] = [];
    const onBroker = (broker: BrokerProcess): void => void brokers.push(broker);
    const keyring = new KeytarKeyring({ env: envOf(keychain), patience: ROOMY, onBroker });
    await Promise.all([keyring.probe(), keyring.probe()]);
    expect(brokers.filter(({ isAlive }) => isAlive)).toHaveLength(1);
    for (const broker of brokers) broker.kill();
  });

  it('is killed while it waits for a prompt, and the parent keeps working', async (context) => {
    await using keychain = await lockedKeychain(context);
    using _prompter = await startSilentPrompter(keychain.env);
    const brokers: BrokerProcess[] = [];
    const onBroker = (broker: BrokerProcess): void => void brokers.push(broker);
    const patience = { ...ROOMY_ATTENDED, prompt: PROMPT };
    const keyring = new KeytarKeyring({ env: envOf(keychain), patience, onBroker });
    expect((await keyring.get(KEY_ID)).outcome).toBe('TIMEOUT');
    expect(brokers[0]?.isAlive).toBe(false);
    await gone(brokers[0]?.pid as number);
    await keychain.unlockCollection();
    expect((await new KeytarKeyring({ env: envOf(keychain), patience: ROOMY }).get(KEY_ID)).outcome).toBe('READY');
  });

  it('does not outlive its parent, even while it waits for a prompt', async (context) => {
    await using keychain = await lockedKeychain(context);
    using prompter = await startSilentPrompter(keychain.env);
    const script = ask({ secret: '', patience: ROOMY_ATTENDED, call: 'get' });
    const asking = spawn(process.execPath, ['--input-type=module', '-'], {
      env: envOf(keychain),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    asking.stdin?.end(script);
    const broker = Number(await firstLine(asking));
    onTestFinished(() => killed(broker));
    await prompter.called('BeginPrompting');
    expect(existsSync(`/proc/${broker}`)).toBe(true);
    asking.kill('SIGKILL');
    await gone(broker);
  });

  it('does not keep a process running that started one and sends no request', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const script = `
      import { BrokerProcess } from ${JSON.stringify(sourceOf('broker/broker-process.ts'))};
      const before = process.getActiveResourcesInfo().length;
      new BrokerProcess(${JSON.stringify(new URL(sourceOf('broker/broker.ts')).pathname)}, process.env);
      process.exitCode = process.getActiveResourcesInfo().length - before;`;
    const asking = spawn(process.execPath, ['--input-type=module', '-'], {
      env: envOf(bus),
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    onTestFinished(() => void asking.kill('SIGKILL'));
    await finished(asking, script);
  });

  it('reports that it died if the script isn’t a broker', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'coffer-broker-'));
    const cases = {
      'throws.js': 'process.exitCode = 3',
      'babbles.js': 'console.log("hello")',
      'floods.js': 'for (;;) console.log("x".repeat(1e5))',
    };
    for (const [name, code] of Object.entries(cases)) {
      const script = join(directory, name);
      writeFileSync(script, code);
      const broker = new BrokerProcess(script, process.env);
      const request = { operation: 'get', service: 'coffer', account: KEY_ID, secret: '' } as const;
      const reply = await broker.ask(request, { ready: ROOMY.silence, answer: ROOMY.silence });
      expect(reply).toHaveProperty('died');
    }
    rmSync(directory, { recursive: true });
  });
});

describe('trimmed', () => {
  it('keeps what a keychain needs and nothing else', () => {
    const needed = {
      HOME: '/h',
      DISPLAY: ':0',
      XDG_RUNTIME_DIR: '/r',
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/b',
      LANG: 'C',
      LC_ALL: 'C',
      SystemRoot: 'C:\\Windows',
    };
    expect(
      trimmed({ ...needed, ...CANARIES, GITHUB_TOKEN: 'x', G_MESSAGES_DEBUG: 'all', LD_PRELOAD: '/x.so' }),
    ).toEqual(needed);
  });
});

/**
 * A program that uses keytar's keyring once and prints the broker's process id when it is started.
 */
function ask(options: { secret: string; patience: object; call: 'get' | 'set' }): string {
  return `
    import { KeytarKeyring } from ${JSON.stringify(sourceOf('keytar.ts'))};
    const onBroker = (broker) => console.log(broker.pid);
    const keyring = new KeytarKeyring({ env: process.env, patience: ${JSON.stringify(options.patience)}, onBroker });
    await keyring.${options.call}('${KEY_ID}', Buffer.from('${options.secret}', 'hex'));`;
}

function sourceOf(name: string): string {
  return new URL(`../../src/keyring/${name}`, import.meta.url).href;
}

/** Returns command line and environment as any process of this user can see them. */
function whatIsSeenOf(broker: BrokerProcess): string {
  const [args, env] = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${broker.pid}/${file}`, 'utf8'));
  return `${args}\0${env}`;
}

function formsOf(secret: Buffer): string[] {
  return [secret.toString('base64').replace(/=+$/, ''), secret.toString('hex'), secret.toString('latin1')];
}

function filesWith(directory: string, forms: readonly string[]): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => forms.some((form) => readFileSync(path).includes(Buffer.from(form, 'latin1'))));
}

async function lockedKeychain(context: Parameters<typeof requireKeychain>[0]): Promise<Bus> {
  requireKeychain(context);
  const keychain = await startKeychain();
  await keychain.storeItem(KEY_ID, randomBytes(32).toString('base64'));
  await keychain.lockCollection();
  return keychain;
}

function envOf(bus: Bus): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], ...bus.env };
}

async function isInstalled(program: string): Promise<boolean> {
  return promisify(execFile)(program, ['-V']).then(
    () => true,
    () => false,
  );
}

function finished(child: ChildProcess, input: string): Promise<void> {
  child.stdin?.end(input);
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`it ended with ${code}`))));
  });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (part: Buffer) => resolve(part.toString()));
    child.once('exit', () => reject(new Error('it exited without output')));
  });
}

/** Kills a process that should be gone already, so that a failing test leaves none behind. */
function killed(pid: number): void {
  if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
}

/**
 * Resolves when a process that isn't our child is gone. The kernel notifies only its parent, so
 * this polls.
 */
async function gone(pid: number): Promise<void> {
  while (!/^$|\) Z /.test(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
