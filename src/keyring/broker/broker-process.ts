import { type ChildProcess, spawn } from 'node:child_process';

/** A request to the broker, sent as one line of JSON on its stdin. Only `set` uses `secret`. */
export interface BrokerRequest {
  readonly operation: 'get' | 'set' | 'delete';
  readonly service: string;
  readonly account: string;
  readonly secret: string;
}

/**
 * A reply of the broker, one line each: at its start whether the addon is available, then the
 * addon's result or error. The value is the password for `get`, whether it reads back the same for
 * `set`, and whether an item existed for `delete`; null if there is no item.
 */
export type BrokerReply = { readonly value: string | null } | { readonly error: string } | { readonly absent: true };

/** The outcome of a request: the broker's reply, or its failure to send one. */
export type BrokerOutcome = BrokerReply | { readonly late: true } | { readonly died: string };

/** The maximum length of a reply. A reply is one short line; longer output isn't the broker's. */
const REPLY_LIMIT = 64 * 1024;

/** The time after which an idle broker is killed, in milliseconds. */
const IDLE = 5_000;

/** The maximum delay of a timer, in milliseconds. A longer one would fire immediately. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * The environment variables that a keychain needs. All others, including other programs' secrets,
 * are withheld from the child.
 */
const PASSED_ON: ReadonlySet<string> = new Set([
  ...['HOME', 'USER', 'LOGNAME', 'PATH', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH', 'GSETTINGS_BACKEND'],
  ...['DBUS_SESSION_BUS_ADDRESS', 'DISPLAY', 'WAYLAND_DISPLAY', 'XAUTHORITY'],
  ...['__CF_USER_TEXT_ENCODING', 'SECURITYSESSIONID'],
  ...[
    'SYSTEMROOT',
    'SYSTEMDRIVE',
    'WINDIR',
    'USERPROFILE',
    'USERNAME',
    'USERDOMAIN',
    'APPDATA',
    'LOCALAPPDATA',
    'TEMP',
    'TMP',
  ],
]);

/**
 * A child process that loads keytar, serves one request and is then killed. If started early, it is
 * ready when it is needed: starting it takes 4 ms longer than `node -e 0`. It is killed once it has
 * replied or timed out, and exits when this process ends. The secret passes only through its pipes;
 * its only argument is the path of the script, and its environment is trimmed.
 */
export class BrokerProcess {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #received = '';
  #died: string | undefined;
  #idle: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #hello: Promise<BrokerOutcome> | undefined;

  constructor(script: string, env: NodeJS.ProcessEnv) {
    this.#child = spawn(process.execPath, [script], {
      env: trimmed(env),
      stdio: ['pipe', 'pipe', 'ignore'],
      windowsHide: true,
    });
    this.#child.once('error', (error: NodeJS.ErrnoException) => this.#end(`it could not be started: ${error.code}`));
    this.#child.once('close', (code, signal) => this.#end(`it exited with ${signal ?? code}`));
    // If the child exits before it has read the request, its `close` event reports that.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.setEncoding('utf8').on('data', (part: string) => this.#take(part));
    // An idle broker must not keep this process running; a request has its own timer that does.
    for (const handle of [this.#child, this.#child.stdin, this.#child.stdout]) unref(handle);
  }

  /** Whether it can still serve a request. */
  get isAlive(): boolean {
    return this.#died === undefined;
  }

  /** Makes it idle: it is killed if no request comes. */
  rest(): void {
    this.#idle = setTimeout(() => this.kill(), IDLE).unref();
  }

  /** Cancels its idle timeout. Returns whether it can still serve a request. */
  claim(): boolean {
    clearTimeout(this.#idle);
    return this.isAlive;
  }

  /** The process id, for tests that inspect how it was started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Waits up to `milliseconds` (Infinity: forever) until the broker has loaded the addon or
   * reported that it can't.
   */
  ready(milliseconds: number): Promise<BrokerOutcome> {
    this.#hello ??= this.#reply(milliseconds);
    return this.#hello;
  }

  /**
   * Sends one request and returns the outcome; the broker is killed afterwards in any case. Loading
   * the addon may take `ready` milliseconds, the reply `answer` milliseconds from then on; Infinity
   * waits forever.
   */
  async ask(request: BrokerRequest, { ready, answer }: { ready: number; answer: number }): Promise<BrokerOutcome> {
    const hello = await this.ready(ready);
    if (!('value' in hello)) return this.#last(hello);
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return this.#last(await this.#reply(answer));
  }

  /** Kills it immediately. */
  kill(): void {
    clearTimeout(this.#idle);
    this.#child.kill('SIGKILL');
    this.#end('it was killed');
  }

  #last(outcome: BrokerOutcome): BrokerOutcome {
    this.kill();
    return outcome;
  }

  /** Waits for the next line. Meanwhile the timer keeps this process running. */
  #reply(milliseconds: number): Promise<BrokerOutcome> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle({ late: true }), Math.min(milliseconds, LONGEST_TIMER));
      const settle = (outcome: BrokerOutcome): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve(outcome);
      };
      this.#wake = () => {
        const line = this.#lines.shift();
        if (line !== undefined) settle(parse(line));
        else if (this.#died !== undefined) settle({ died: this.#died });
      };
      this.#wake();
    });
  }

  #take(part: string): void {
    this.#received += part;
    if (this.#received.length > REPLY_LIMIT) this.kill();
    const lines = this.#received.split('\n');
    this.#received = lines.pop() as string;
    this.#lines.push(...lines);
    this.#wake?.();
  }

  #end(reason: string): void {
    this.#died ??= reason;
    this.#wake?.();
  }
}

/** Returns the part of the environment that the broker gets. */
export function trimmed(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isPassedOn = (name: string): boolean => PASSED_ON.has(name.toUpperCase()) || /^(XDG|LC)_/.test(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => isPassedOn(name)));
}

function parse(line: string): BrokerOutcome {
  try {
    return JSON.parse(line) as BrokerReply;
  } catch {
    // Something else writes to its stdout, so it isn't our broker.
    return { died: 'it sent an invalid reply' };
  }
}

function unref(handle: unknown): void {
  (handle as { unref?(): void } | null)?.unref?.();
}
