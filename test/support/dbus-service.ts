import { connect, type Socket } from 'node:net';
import { type BusMessage, decodeMessage, encodeMessage, messageLength } from '../../native-fallback/dbus-wire.ts';
import type { KeychainEnv } from './keychain.ts';

/** A stand-in's answer to a call: the values of a reply, the name of an error, or nothing. */
export type Said =
  | { readonly signature: string; readonly body: readonly unknown[] }
  | { readonly error: string }
  | 'silence';

/** A stand-in service on a private bus: it owns a name and answers calls as scripted. */
export interface StandIn extends Disposable {
  /** The calls received, in order. */
  readonly calls: readonly BusMessage[];
  /** Resolves when a member has been called, also if that was earlier. */
  called(member: string): Promise<void>;
  /** Broadcasts a signal. */
  emit(path: string, name: string, member: string, signature: string, body: readonly unknown[]): void;
}

/** Starts a service on the bus that owns `name` and never answers. */
export function startSilent(env: KeychainEnv, name = 'org.freedesktop.secrets'): Promise<StandIn> {
  return startStandIn(env, name, () => 'silence');
}

/**
 * Starts the service that gnome-keyring asks to show prompts: it neither accepts nor declines them,
 * as if no user were at the screen.
 */
export function startSilentPrompter(env: KeychainEnv): Promise<StandIn> {
  return startSilent(env, 'org.gnome.keyring.SystemPrompter');
}

/**
 * Starts a service on the bus that owns `name` and answers through `answer`. Ready when the promise
 * resolves.
 */
export async function startStandIn(
  env: KeychainEnv,
  name: string,
  answer: (call: BusMessage) => Said,
): Promise<StandIn> {
  const socket = await openSocket(env.DBUS_SESSION_BUS_ADDRESS.replace('unix:path=', ''));
  const bus = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' };
  const calls: BusMessage[] = [];
  let serial = 0;
  const send = (message: Omit<BusMessage, 'serial'>): void => {
    serial += 1;
    socket.write(encodeMessage({ serial, ...message }));
  };
  const waiting = new Map<string, () => void>();
  const owned = Promise.withResolvers<void>();
  readMessages(socket, (message) => {
    if (message.type === 2 && message.replySerial === 2) owned.resolve();
    if (message.type !== 1) return;
    calls.push(message);
    waiting.get(message.member ?? '')?.();
    const said = answer(message);
    if (said === 'silence') return;
    const to = { replySerial: message.serial, destination: message.sender as string };
    send('error' in said ? { type: 3, errorName: said.error, ...to } : { type: 2, ...said, ...to });
  });
  send({ type: 1, ...bus, member: 'Hello' });
  send({ type: 1, ...bus, member: 'RequestName', signature: 'su', body: [name, 0] });
  await owned.promise;
  return {
    calls,
    called: (member) => {
      if (calls.some((call) => call.member === member)) return Promise.resolve();
      return new Promise((resolve) => waiting.set(member, resolve));
    },
    emit: (path, from, member, signature, body) => send({ type: 4, path, interface: from, member, signature, body }),
    [Symbol.dispose]: () => socket.destroy(),
  };
}

function openSocket(path: string): Promise<Socket> {
  const socket = connect({ path });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.getuid?.())).toString('hex')}\r\n`);
    socket.once('data', () => {
      socket.write('BEGIN\r\n');
      resolve(socket);
    });
  });
}

/** Calls `take` for every message that arrives on a socket. */
export function readMessages(socket: Socket, take: (message: BusMessage) => void): void {
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (part: Buffer) => {
    received = Buffer.concat([received, part]);
    for (let length = messageLength(received); length && length <= received.length; length = messageLength(received)) {
      take(decodeMessage(received.subarray(0, length)));
      received = received.subarray(length);
    }
  });
}
