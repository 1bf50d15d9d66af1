import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemCallFilter } from '../../../src/chat/sandbox/seccomp.ts';
import { ARCHITECTURES, filterFor } from '../../../tools/seccomp.ts';
import { requireSandbox, world } from '../tools/support.ts';

const ALLOW = 0x7fff_0000;
const KILL = 0x8000_0000;
const EPERM = 0x0005_0001;
const ENOSYS = 0x0005_0026;

/**
 * Every system call that a filter has a rule for, with arguments, and the outcomes without and with
 * the network.
 */
type Name = keyof (typeof ARCHITECTURES)['x64']['calls'];
const RULES: readonly (readonly [name: Name, args: readonly number[], alone: number, network: number])[] = [
  ...(['add_key', 'request_key', 'keyctl', 'ptrace', 'process_vm_readv', 'process_vm_writev'] as const).map(
    (name) => [name, [], EPERM, EPERM] as const,
  ),
  ...(['pidfd_getfd', 'bpf', 'perf_event_open', 'userfaultfd'] as const).map(
    (name) => [name, [], EPERM, EPERM] as const,
  ),
  ['io_uring_setup', [], ENOSYS, ENOSYS],
  ['ioctl', [0, 0x5412], EPERM, EPERM],
  ['ioctl', [0, 0x541c], EPERM, EPERM],
  ['ioctl', [0, 0x5401], ALLOW, ALLOW],
  ['socket', [1], EPERM, ALLOW],
  ['socket', [40], EPERM, ALLOW],
  ['socket', [2], ALLOW, ALLOW],
  ['socket', [10], ALLOW, ALLOW],
  ['socket', [16], ALLOW, ALLOW],
];

describe('the filter of system calls', () => {
  it.for(['x64', 'arm64'] as const)('decides as its rules say: %s', (name) => {
    const architecture = ARCHITECTURES[name];
    for (const network of [false, true]) {
      const filter = systemCallFilter(network, name) as Buffer;
      expect(filter).toEqual(filterFor(architecture, network));
      const call = (number: number, args: readonly number[] = []): number =>
        simulate(filter, { number, audit: architecture.audit, args });
      for (const [rule, args, alone, granted] of RULES) {
        expect([rule, args, call(architecture.calls[rule], args)]).toEqual([rule, args, network ? granted : alone]);
      }
      const ruled = new Set(Object.values(architecture.calls));
      const rest = Array.from({ length: 1000 }, (_, number) => number).filter((number) => !ruled.has(number));
      expect(rest.filter((number) => call(number, [1, 0x5412]) !== ALLOW)).toEqual([]);
      expect(simulate(filter, { number: 0, audit: 0x4000_0003, args: [] })).toBe(KILL);
      if (name === 'x64') expect(call(0x4000_0000 + architecture.calls.keyctl)).toBe(ENOSYS);
    }
  });

  it('is undefined for an unknown architecture', () => {
    expect(systemCallFilter(false, 'mips')).toBe(undefined);
  });

  it('matches its source', () => {
    const script = join(import.meta.dirname, '../../../tools/seccomp.ts');
    expect(execFileSync(process.execPath, [script, '--check'], { encoding: 'utf8' })).toBe('');
  });
});

describe('a command in a sandbox', () => {
  const calls = ARCHITECTURES[process.arch as 'x64' | 'arm64']?.calls;

  it('is denied what the filter denies', async (context) => {
    requireSandbox(context);
    if (calls === undefined) context.skip('there is no filter for this architecture');
    const script = python(`
for name, args in [("add_key", (0, 0, 0, 0, -1)), ("request_key", (0, 0, 0, 0)), ("keyctl", (0, -3, 0)), ("ptrace", (0, 0, 0, 0)),
                   ("ioctl", (0, 0x5412, 0)), ("ioctl", (0, 0x541c, 0)), ("ioctl", (0, 0x5401, 0)), ("socket", (1, 1, 0)), ("socket", (2, 1, 0)),
                   ("io_uring_setup", (1, 0))]:
    print(name, call(name, *args))`);
    const [alone, network, outside] = [{}, { network: true }, undefined].map(async (input) => {
      if (input === undefined) return spawnSync('/bin/sh', ['-c', script], { encoding: 'utf8', input: '' }).stdout;
      return (await world().call('run_command', { command: script, ...input }, { place: { sandbox: 'required' } }))
        .text;
    });
    const denied = ['add_key EPERM', 'request_key EPERM', 'keyctl EPERM', 'ptrace EPERM', 'ioctl EPERM', 'ioctl EPERM'];
    expect((await alone)?.split('\n').slice(0, 10)).toEqual([
      ...denied,
      'ioctl ENOTTY',
      'socket EPERM',
      'socket 0',
      'io_uring_setup ENOSYS',
    ]);
    expect((await network)?.split('\n').slice(0, 10)).toEqual([
      ...denied,
      'ioctl ENOTTY',
      'socket 0',
      'socket 0',
      'io_uring_setup ENOSYS',
    ]);
    // Control: outside the sandbox most calls are allowed, and the rest fail for another reason.
    expect(await outside).not.toContain('keyctl EPERM');
    expect(await outside).toContain('ptrace 0');
  });

  it('sees no list of keys', async (context) => {
    requireSandbox(context);
    const done = await world().call(
      'run_command',
      { command: 'cat /proc/keys /proc/key-users; echo end' },
      { place: { sandbox: 'required' } },
    );
    expect(done.text).toContain('end');
    expect(done.text).not.toContain('keyring');
    // Control: the lists exist outside.
    expect(readFileSync('/proc/keys', 'utf8')).toContain('keyring');
  });

  it('can use socket pairs, and programs that need them', async (context) => {
    requireSandbox(context);
    const command = '/usr/bin/python3 -c "import socket; a, b = socket.socketpair(); a.send(b\'x\'); print(b.recv(1))"';
    const done = await world().call('run_command', { command }, { place: { sandbox: 'required' } });
    expect(done.text).toMatch(/^b'x'\n/);
  });
});

/** Returns a command that makes system calls and prints their outcomes. */
function python(body: string): string {
  const numbers = JSON.stringify(ARCHITECTURES[process.arch as 'x64' | 'arm64']?.calls);
  const script = `import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
numbers = ${numbers}
def call(name, *args):
    ctypes.set_errno(0)
    result = libc.syscall(numbers[name], *[ctypes.c_long(each) for each in args])
    return "0" if result >= 0 else errno.errorcode[ctypes.get_errno()]
${body}`;
  return `/usr/bin/python3 -c '${script.replaceAll("'", `'\\''`)}'`;
}

/** Runs a filter like the kernel does: an accumulator, loads, two kinds of jumps, and a return. */
function simulate(filter: Buffer, data: { number: number; audit: number; args: readonly number[] }): number {
  const seen = Buffer.alloc(64);
  seen.writeUInt32LE(data.number, 0);
  seen.writeUInt32LE(data.audit, 4);
  for (const [n, value] of data.args.entries()) seen.writeBigUInt64LE(BigInt(value), 16 + 8 * n);
  let accumulator = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const [code, yes, no, operand] = [
      filter.readUInt16LE(at),
      filter[at + 2],
      filter[at + 3],
      filter.readUInt32LE(at + 4),
    ];
    if (code === 0x06) return operand;
    if (code === 0x20) accumulator = seen.readUInt32LE(operand);
    else {
      const holds = code === 0x15 ? accumulator === operand : accumulator >= operand;
      at += 8 * ((holds ? yes : no) ?? Number.NaN);
    }
  }
  throw new Error('the filter has no end');
}
