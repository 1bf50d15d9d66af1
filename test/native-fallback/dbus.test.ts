import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BUS, Bus, type BusError, socketPaths } from '../../native-fallback/dbus.ts';
import { type BusMessage, encodeMessage } from '../../native-fallback/dbus-wire.ts';
import { readMessages, startStandIn } from '../support/dbus-service.ts';
import { requireKeychain, requireUnix, startBus } from '../support/keychain.ts';
import { HANGS } from '../support/patience.ts';

describe('socketPaths', () => {
  it.each([
    ['unix:path=/run/user/0/bus', ['/run/user/0/bus']],
    ['unix:path=/run/user/0/bus,guid=0123', ['/run/user/0/bus']],
    ['unix:abstract=/tmp/dbus-x,guid=1', ['\0/tmp/dbus-x']],
    ['unix:path=/a%20b%c3%a4', ['/a bä']],
    ['unix:path=/a:b=c', ['/a:b=c']],
    ['tcp:host=localhost,port=1;unix:path=/a;unix:path=/b', ['/a', '/b']],
    ['autolaunch:', []],
    ['unix:runtime=yes', []],
    ['nonsense', []],
  ])('parses %j', (address, expected) => {
    expect(socketPaths({ DBUS_SESSION_BUS_ADDRESS: address, XDG_RUNTIME_DIR: '/r' })).toEqual(expected);
  });

  it('looks in the runtime directory if there is no address, and nowhere without one', () => {
    expect(socketPaths({ XDG_RUNTIME_DIR: '/r' })).toEqual(['/r/bus']);
    expect(socketPaths({ DBUS_SESSION_BUS_ADDRESS: '' })).toEqual([]);
  });
});

describe('Bus', () => {
  it('talks to a real bus at the first address that answers', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    const address = `unix:path=/no/such/bus;${bus.env.DBUS_SESSION_BUS_ADDRESS}`;
    using connection = await Bus.connect({ DBUS_SESSION_BUS_ADDRESS: address }, HANGS);
    const [names] = await connection.call(BUS, 'ListNames');
    expect(names).toContain('org.freedesktop.DBus');
  });

  it('finds the bus in the runtime directory', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using connection = await Bus.connect({ XDG_RUNTIME_DIR: bus.env.XDG_RUNTIME_DIR }, HANGS);
    expect(await connection.call(BUS, 'GetId')).toHaveLength(1);
  });

  it('rejects with the name of the returned error', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using connection = await Bus.connect({ ...bus.env }, HANGS);
    const answer = connection.call(BUS, 'GetNameOwner', 's', 'no.such.name');
    await expect(answer).rejects.toMatchObject({
      kind: 'refused',
      errorName: 'org.freedesktop.DBus.Error.NameHasNoOwner',
    });
  });

  it('matches the replies of concurrent calls', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using _one = await startStandIn(bus.env, 'a.b', ({ member }) => ({ signature: 's', body: [member] }));
    using connection = await Bus.connect({ ...bus.env }, HANGS);
    const target = { destination: 'a.b', path: '/', interface: 'a.b' };
    const members = Array.from({ length: 50 }, (_, index) => `M${index}`);
    const answers = await Promise.all(members.map((member) => connection.call(target, member)));
    expect(answers).toEqual(members.map((member) => [member]));
  });

  it('waits for a signal of the subscribed path', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using one = await startStandIn(bus.env, 'a.b', () => 'silence');
    using connection = await Bus.connect({ ...bus.env }, HANGS);
    const { came } = await connection.subscribe('/prompt/1', 'a.b', 'Completed');
    one.emit('/prompt/2', 'a.b', 'Completed', 's', ['another']);
    one.emit('/prompt/1', 'a.b', 'Started', 's', ['another']);
    one.emit('/prompt/1', 'a.b', 'Completed', 's', ['ours']);
    expect(await came).toEqual(['ours']);
  });

  it('answers incoming calls, so that no caller waits', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using connection = await Bus.connect({ ...bus.env }, HANGS);
    using other = await Bus.connect({ ...bus.env }, HANGS);
    const [names] = (await connection.call(BUS, 'ListNames')) as [string[]];
    const answers = names
      .filter((name) => name.startsWith(':'))
      .map((destination) =>
        other
          .call({ destination, path: '/', interface: 'a.b' }, 'Anything')
          .catch((error: BusError) => error.errorName),
      );
    expect(await Promise.race(answers)).toBe('org.freedesktop.DBus.Error.UnknownMethod');
  });

  it('rejects pending and later calls once it is closed', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using _one = await startStandIn(bus.env, 'a.b', () => 'silence');
    const connection = await Bus.connect({ ...bus.env }, HANGS);
    const { came } = await connection.subscribe('/', 'a.b', 'Never');
    const pending = connection.call({ destination: 'a.b', path: '/', interface: 'a.b' }, 'Never');
    connection.close();
    await expect(pending).rejects.toMatchObject({ kind: 'absent' });
    await expect(came).rejects.toMatchObject({ kind: 'absent' });
    await expect(connection.call(BUS, 'GetId')).rejects.toMatchObject({ kind: 'absent' });
  });

  it.for([
    ['refuses this user', (socket: Socket) => socket.write('REJECTED EXTERNAL\r\n')],
    ['hangs up at once', (socket: Socket) => socket.destroy()],
    ['sends a line without end', (socket: Socket) => socket.write('x'.repeat(10_000))],
    ['speaks something else', (socket: Socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['authenticates and sends garbage', (socket: Socket) => socket.write(`OK 0123\r\n${'garbage '.repeat(100)}`)],
    ['authenticates and hangs up', (socket: Socket) => socket.end('OK 0123\r\n')],
  ] as const)('finds no bus if the server %s', async ([, greet], context) => {
    requireUnix(context);
    const address = await serve(greet);
    await expect(Bus.connect({ DBUS_SESSION_BUS_ADDRESS: address }, HANGS)).rejects.toMatchObject({
      kind: 'absent',
    });
  });

  it('is not late if this process was too busy to read an answer that came in time', async (context) => {
    requireKeychain(context);
    await using bus = await startBus();
    using connection = await Bus.connect({ ...bus.env }, HANGS);
    connection.allowSilence(300);
    const answered = connection.call(BUS, 'ListNames');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
    await expect(answered).resolves.toHaveLength(1);
  });

  it('is late if the server says nothing', async (context) => {
    requireUnix(context);
    const address = await serve(() => undefined);
    const connected = Bus.connect({ DBUS_SESSION_BUS_ADDRESS: address }, 100);
    await expect(connected).rejects.toMatchObject({ kind: 'late' });
  });

  it('is not late if every answer is slow, however long they take together', async (context) => {
    requireUnix(context);
    const address = await serve((socket) => answerCalls(socket, ({ serial }) => reply(serial), 1_000));
    using connection = await Bus.connect({ DBUS_SESSION_BUS_ADDRESS: address }, 3_000);
    for (let calls = 0; calls < 4; calls++) await expect(connection.call(BUS, 'GetId')).resolves.toEqual([]);
  });

  it('is late if the server sends a lot but answers too late', async (context) => {
    requireUnix(context);
    const address = await serve((socket) => {
      answerCalls(socket, ({ member, serial }) => {
        if (member === 'Hello') return reply(serial);
        let said = 0;
        const talking = setInterval(() => socket.write(encodeMessage(++said < 100 ? SIGNAL : reply(serial))), 50);
        socket.once('close', () => clearInterval(talking));
        return undefined;
      });
    });
    using connection = await Bus.connect({ DBUS_SESSION_BUS_ADDRESS: address }, 500);
    await expect(connection.call(BUS, 'GetId')).rejects.toMatchObject({ kind: 'late' });
  });
});

const SIGNAL: BusMessage = { type: 4, serial: 1, path: '/', interface: 'a.b', member: 'C' };

function reply(replySerial: number): BusMessage {
  return { type: 2, serial: 1, replySerial };
}

/** Accepts a client, and answers each of its calls after the given number of milliseconds. */
function answerCalls(socket: Socket, answer: (call: BusMessage) => BusMessage | undefined, milliseconds = 0): void {
  socket.once('data', (part: Buffer) => {
    readMessages(socket, (call) => {
      const said = answer(call);
      if (said !== undefined) setTimeout(() => socket.write(encodeMessage(said)), milliseconds);
    });
    socket.unshift(part.subarray('BEGIN\r\n'.length));
  });
  socket.write('OK 0123\r\n');
}

async function serve(greet: (socket: Socket) => unknown): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-dbus-'));
  const path = join(directory, 'bus');
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => open.delete(socket));
    socket.once('data', () => greet(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return `unix:path=${path}`;
}
