import { connect, type Socket } from 'node:net';
import { type BusMessage, decodeMessage, encodeMessage, messageLength } from './dbus-wire.ts';

/** The target of a call: a name on the bus, one of its objects, and an interface of that. */
export interface Target {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
}

/**
 * The failure of a bus call.
 *
 * - `absent`: there is no bus, it closed the connection, or it doesn't speak D-Bus
 * - `late`: it did not answer in time
 * - `refused`: it answered with an error; `errorName` is its name
 */
export class BusError extends Error {
  readonly kind: 'absent' | 'late' | 'refused';
  readonly errorName: string;

  constructor(kind: BusError['kind'], message: string, errorName = '') {
    super(message);
    this.kind = kind;
    this.errorName = errorName;
  }
}

/** The message bus itself. */
export const BUS: Target = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
};

/** An authentication line is short; a server that sends a longer one isn't a bus. */
const LINE_LIMIT = 4096;

/**
 * Silence is measured in slices of this length, in milliseconds. A slice in which this process was
 * too busy to read counts once, however long it took.
 */
const SLICE = 100;
const UNKNOWN_METHOD = 'org.freedesktop.DBus.Error.UnknownMethod';

/**
 * A connection to a session bus: a private unix socket, authenticated by the kernel (EXTERNAL). It
 * has only what a keychain client needs: calls with their replies, and waiting for one signal.
 * Everything pending rejects with a {@link BusError} once the bus has been silent for too long or
 * closes the connection.
 */
export class Bus implements Disposable {
  readonly #socket: Socket;
  readonly #calls = new Map<number, { resolve(body: readonly unknown[]): void; reject(error: BusError): void }>();
  readonly #signals: {
    matches(message: BusMessage): boolean;
    resolve(body: readonly unknown[]): void;
    reject(error: BusError): void;
  }[] = [];
  /** The maximum silence of the bus, in milliseconds. */
  #silence: number;
  #timer: NodeJS.Timeout | undefined;
  #received: Buffer = Buffer.alloc(0);
  #authenticated = Promise.withResolvers<void>();
  #isOpen = false;
  #failure: BusError | undefined;
  #serial = 0;

  private constructor(socket: Socket, silence: number) {
    this.#socket = socket;
    this.#silence = silence;
    this.#listen();
    socket.on('data', (part: Buffer) => this.#take(part));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      this.#fail('absent', `the session bus cannot be reached: ${error.code}`),
    );
    socket.once('close', () => this.#fail('absent', 'the session bus closed the connection'));
  }

  /**
   * Connects to the session bus that `env` names, or else to the one in XDG_RUNTIME_DIR, as libdbus
   * and GDBus do. The bus counts as dead once it has not answered for `silence` milliseconds;
   * Infinity waits forever. Rejects with a {@link BusError}.
   */
  static async connect(env: Readonly<Record<string, string | undefined>>, silence: number): Promise<Bus> {
    let failure = new BusError('absent', 'there is no session bus');
    for (const path of socketPaths(env)) {
      try {
        return await Bus.#open(path, silence);
      } catch (error) {
        failure = asBusError(error);
      }
    }
    throw failure;
  }

  static async #open(path: string, silence: number): Promise<Bus> {
    const bus = new Bus(connect({ path }), silence);
    try {
      const uid = Buffer.from(String(process.getuid?.() ?? '')).toString('hex');
      bus.#socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
      await bus.#authenticated.promise;
      bus.#isOpen = true;
      // Bytes that arrived together with the last authentication line are still unread.
      bus.#take(Buffer.alloc(0));
      bus.#socket.write('BEGIN\r\n');
      await bus.call(BUS, 'Hello');
      return bus;
    } catch (error) {
      bus.close();
      throw error;
    }
  }

  /** Sets how long the bus may be silent, in milliseconds, from now and again from every answer. */
  allowSilence(milliseconds: number): void {
    this.#silence = milliseconds;
    this.#listen();
  }

  /** Calls a method and returns the values of its reply. Rejects with a {@link BusError}. */
  call(target: Target, member: string, signature = '', ...body: readonly unknown[]): Promise<readonly unknown[]> {
    if (this.#failure) return Promise.reject(this.#failure);
    const serial = ++this.#serial;
    const bytes = encodeMessage({ type: 1, serial, ...target, member, signature, body });
    return new Promise((resolve, reject) => {
      this.#calls.set(serial, { resolve, reject });
      this.#socket.write(bytes, () => bytes.fill(0));
    });
  }

  /**
   * Subscribes to one signal; the returned promise resolves with its values. Rejects with a
   * {@link BusError}.
   */
  async subscribe(path: string, name: string, member: string): Promise<{ readonly came: Promise<readonly unknown[]> }> {
    const rule = `type='signal',path='${path}',interface='${name}',member='${member}'`;
    const came = new Promise<readonly unknown[]>((resolve, reject) => {
      const matches = (signal: BusMessage): boolean =>
        signal.path === path && signal.interface === name && signal.member === member;
      this.#signals.push({ matches, resolve, reject });
    });
    // The caller gets the failure when it awaits `came`; this handler prevents an unhandled
    // rejection before that.
    came.catch(() => undefined);
    await this.call(BUS, 'AddMatch', 's', rule);
    return { came };
  }

  close(): void {
    this.#fail('absent', 'the connection was closed');
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Restarts the timer that closes the connection. Only answers call it: unsolicited messages do
   * not prove that the peer is alive. Time in which this process is too busy to read hardly counts.
   */
  #listen(left: number = this.#silence): void {
    clearTimeout(this.#timer);
    if (left === Number.POSITIVE_INFINITY || this.#failure) return;
    const slice = Math.min(SLICE, left);
    this.#timer = setTimeout(() => {
      if (left > slice) this.#listen(left - slice);
      else this.#fail('late', 'the keychain does not answer');
    }, slice);
  }

  #take(part: Buffer): void {
    this.#received = this.#received.length === 0 ? part : Buffer.concat([this.#received, part]);
    try {
      if (this.#isOpen) this.#takeMessages();
      else this.#takeLine();
    } catch (error) {
      // The bus doesn't speak D-Bus, so nothing that follows can be parsed either.
      this.#fail('absent', `the session bus sent an invalid message: ${(error as Error).message}`);
    }
  }

  #takeLine(): void {
    const end = this.#received.indexOf('\r\n');
    if (end < 0 && this.#received.length <= LINE_LIMIT) return;
    const line = this.#received.toString('latin1', 0, Math.max(end, 0));
    this.#received = this.#received.subarray(end + 2);
    this.#listen();
    if (line.startsWith('OK ')) this.#authenticated.resolve();
    else this.#fail('absent', 'the session bus refuses this user');
  }

  #takeMessages(): void {
    for (;;) {
      const length = messageLength(this.#received);
      if (length === undefined || length > this.#received.length) return;
      const message = decodeMessage(this.#received.subarray(0, length));
      this.#received = this.#received.subarray(length);
      this.#dispatch(message);
    }
  }

  #dispatch(message: BusMessage): void {
    if (message.type === 4) {
      const at = this.#signals.findIndex((waiting) => waiting.matches(message));
      if (at >= 0) this.#listen();
      if (at >= 0) this.#signals.splice(at, 1)[0]?.resolve(message.body ?? []);
      return;
    }
    if (message.type === 1) {
      this.#refuse(message);
      return;
    }
    const call = this.#calls.get(message.replySerial ?? 0);
    if (this.#calls.delete(message.replySerial ?? 0)) this.#listen();
    if (message.type === 2) call?.resolve(message.body ?? []);
    else call?.reject(new BusError('refused', 'the call returned an error', message.errorName ?? ''));
  }

  /** Rejects a call: we offer nothing on the bus, but a caller must not wait for an answer. */
  #refuse(call: BusMessage): void {
    const to = call.sender === undefined ? {} : { destination: call.sender };
    const answer = { type: 3, serial: ++this.#serial, errorName: UNKNOWN_METHOD, replySerial: call.serial, ...to };
    this.#socket.write(encodeMessage(answer));
  }

  #fail(kind: BusError['kind'], message: string): void {
    if (this.#failure) return;
    const failure = new BusError(kind, message);
    this.#failure = failure;
    clearTimeout(this.#timer);
    this.#authenticated.promise.catch(() => undefined);
    this.#authenticated.reject(failure);
    for (const waiting of [...this.#calls.values(), ...this.#signals]) waiting.reject(failure);
    this.#calls.clear();
    this.#signals.length = 0;
    this.#socket.destroy();
  }
}

/**
 * Returns a thrown value as a {@link BusError}; rethrows any other error, which is a programmer's
 * mistake.
 */
export function asBusError(error: unknown): BusError {
  if (error instanceof BusError) return error;
  throw error;
}

/**
 * Returns the unix sockets of an address list, in order; the name of an abstract one begins with
 * `\0`.
 */
export function socketPaths(env: Readonly<Record<string, string | undefined>>): string[] {
  const address = env['DBUS_SESSION_BUS_ADDRESS'];
  const runtime = env['XDG_RUNTIME_DIR'];
  if (!address) return runtime ? [`${runtime}/bus`] : [];
  return address.split(';').flatMap((one) => {
    const [transport, options] = splitOnce(one, ':');
    if (transport !== 'unix') return [];
    const values = new Map(options.split(',').map((pair) => splitOnce(pair, '=')));
    const path = values.get('path');
    const abstract = values.get('abstract');
    if (path) return [unescaped(path)];
    return abstract ? [`\0${unescaped(abstract)}`] : [];
  });
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function unescaped(value: string): string {
  return value.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'));
}
