import { type ChildProcess, spawn } from 'node:child_process';

/** What the broker is asked, as one line of JSON on its stdin. `secret` is used by `set` alone. */
export interface BrokerRequest {
  readonly operation: 'get' | 'set' | 'delete';
  readonly service: string;
  readonly account: string;
  readonly secret: string;
}

/**
 * What the broker answers, a line each: at its start whether it has the addon, then what the addon gave, or how that failed.
 * For `get` the value is the password; for `set` whether it reads back the same; for `delete` whether there was one; null where there is no item.
 */
export type BrokerReply = { readonly value: string | null } | { readonly error: string } | { readonly absent: true };

/** How it went with the broker: its reply, or what became of it. */
export type BrokerOutcome = BrokerReply | { readonly late: true } | { readonly died: string };

/** A reply is one short line: what is longer comes from something else. */
const REPLY_LIMIT = 64 * 1024;

/** A broker at rest ends after so many milliseconds. */
const IDLE = 5_000;

/** The longest time a timer can run, in milliseconds. A longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What a keychain needs of our environment; everything else, other programs' secrets among it, is kept from the child. */
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
 * A child process that loads keytar, answers one request and is gone. Started early it is ready when it is needed: that takes 4 ms more than `node -e 0`.
 * It is killed when it has answered, when it is late, and by itself when this process ends.
 * The secret passes through its pipes only; its arguments are the script's path, its environment is trimmed.
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
    this.#child.once('error', (error: NodeJS.ErrnoException) => this.#end(`it cannot be started: ${error.code}`));
    this.#child.once('close', (code, signal) => this.#end(`it ended with ${signal ?? code}`));
    // A child that is gone before it has read the request is told by its end.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.setEncoding('utf8').on('data', (part: string) => this.#take(part));
    // Nobody waits for an idle broker: a request has a timer of its own that keeps this process up.
    for (const handle of [this.#child, this.#child.stdin, this.#child.stdout]) unref(handle);
  }

  /** Whether it can still be asked. */
  get isAlive(): boolean {
    return this.#died === undefined;
  }

  /** Lets it wait for a request that may come; it ends where none does. */
  rest(): void {
    this.#idle = setTimeout(() => this.kill(), IDLE).unref();
  }

  /** Takes it out of its rest, and tells whether it can still be asked. */
  claim(): boolean {
    clearTimeout(this.#idle);
    return this.isAlive;
  }

  /** The process id, for tests that look at what it was started with. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Waits up to `milliseconds` (Infinity: for ever) until the broker has loaded the addon, or has reported that it can't. */
  ready(milliseconds: number): Promise<BrokerOutcome> {
    this.#hello ??= this.#reply(milliseconds);
    return this.#hello;
  }

  /**
   * Asks, once; the broker is gone afterwards, whatever it answered. It may take `ready` milliseconds to load the addon, and `answer`
   * milliseconds from then on; Infinity waits for ever.
   */
  async ask(request: BrokerRequest, { ready, answer }: { ready: number; answer: number }): Promise<BrokerOutcome> {
    const hello = await this.ready(ready);
    if (!('value' in hello)) return this.#last(hello);
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return this.#last(await this.#reply(answer));
  }

  /** Ends it at once, whatever it is doing. */
  kill(): void {
    clearTimeout(this.#idle);
    this.#child.kill('SIGKILL');
    this.#end('it was ended');
  }

  #last(outcome: BrokerOutcome): BrokerOutcome {
    this.kill();
    return outcome;
  }

  /** Waits for the next line. The timer is what keeps this process from ending meanwhile. */
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

  #end(how: string): void {
    this.#died ??= how;
    this.#wake?.();
  }
}

/** The environment that the broker gets. */
export function trimmed(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isPassedOn = (name: string): boolean => PASSED_ON.has(name.toUpperCase()) || /^(XDG|LC)_/.test(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => isPassedOn(name)));
}

function parse(line: string): BrokerOutcome {
  try {
    return JSON.parse(line) as BrokerReply;
  } catch {
    // Something else writes on its stdout: it is not the broker that we started.
    return { died: 'it answers something else' };
  }
}

function unref(handle: unknown): void {
  (handle as { unref?(): void } | null)?.unref?.();
}
