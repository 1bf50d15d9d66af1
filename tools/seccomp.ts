import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * Writes the system call filters for the sandbox of commands, as bytes (classic BPF, seccomp(2)),
 * to src/chat/sandbox/filters.ts. With --check it only checks that the file is up to date. Each
 * filter is a list of rules, in words below.
 */

/**
 * An architecture: the kernel's identifier for it, and its numbers of the system calls that matter.
 */
interface Architecture {
  readonly audit: number;
  /** System call numbers from here on are aliases of the same calls. */
  readonly foreign?: number;
  readonly calls: Readonly<Record<Call, number>>;
}

type Denied =
  | 'add_key'
  | 'request_key'
  | 'keyctl'
  | 'ptrace'
  | 'process_vm_readv'
  | 'process_vm_writev'
  | 'pidfd_getfd'
  | 'bpf'
  | 'perf_event_open'
  | 'userfaultfd';

type Call = Denied | 'io_uring_setup' | 'ioctl' | 'socket';

/** Calls that reach kernel keyrings, another process or the kernel. */
const DENIED: readonly Denied[] = [
  ...(['add_key', 'request_key', 'keyctl', 'ptrace', 'process_vm_readv', 'process_vm_writev'] as const),
  ...(['pidfd_getfd', 'bpf', 'perf_event_open', 'userfaultfd'] as const),
];

/** The supported architectures, by Node's name. */
export const ARCHITECTURES: Readonly<Record<'x64' | 'arm64', Architecture>> = {
  x64: {
    audit: 0xc000_003e,
    foreign: 0x4000_0000,
    calls: {
      ...{ add_key: 248, request_key: 249, keyctl: 250, ptrace: 101, process_vm_readv: 310, process_vm_writev: 311 },
      ...{ pidfd_getfd: 438, bpf: 321, perf_event_open: 298, userfaultfd: 323 },
      ...{ io_uring_setup: 425, ioctl: 16, socket: 41 },
    },
  },
  arm64: {
    audit: 0xc000_00b7,
    calls: {
      ...{ add_key: 217, request_key: 218, keyctl: 219, ptrace: 117, process_vm_readv: 270, process_vm_writev: 271 },
      ...{ pidfd_getfd: 438, bpf: 280, perf_event_open: 241, userfaultfd: 282 },
      ...{ io_uring_setup: 425, ioctl: 29, socket: 198 },
    },
  },
};

/** The ioctls that type into a terminal and into a console. */
const IOCTLS = [0x5412, 0x541c];

/**
 * AF_UNSPEC, AF_INET, AF_INET6 and AF_NETLINK: harmless in a separate network namespace, which has
 * no devices.
 */
const FAMILIES = [0, 2, 10, 16];

const ALLOW = 0x7fff_0000;
const KILL = 0x8000_0000;
const EPERM = 0x0005_0001;
const ENOSYS = 0x0005_0026;

/**
 * Offsets in struct seccomp_data; for arguments, of the lower half, which is all that these calls
 * read.
 */
const NUMBER = 0;
const AUDIT = 4;
const argument = (n: number): number => 16 + 8 * n;

/** An instruction, with jumps to labels. */
type Step =
  | { readonly load: number }
  | { readonly is: number; readonly to: string }
  | { readonly from: number; readonly to: string }
  | { readonly end: number }
  | { readonly label: string };

/**
 * Returns the filter of an architecture. With the network granted, sockets of every family are
 * allowed.
 */
export function filterFor({ audit, foreign, calls }: Architecture, network: boolean): Buffer {
  return assemble([
    { load: AUDIT },
    { is: audit, to: 'native' },
    { end: KILL },
    { label: 'native' },
    { load: NUMBER },
    ...(foreign === undefined ? [] : [{ from: foreign, to: 'missing' }]),
    ...DENIED.map((name) => ({ is: calls[name], to: 'denied' })),
    // io_uring makes other calls where no filter sees them; programs work without it.
    { is: calls.io_uring_setup, to: 'missing' },
    { is: calls.ioctl, to: 'ioctl' },
    ...(network ? [] : [{ is: calls.socket, to: 'socket' }]),
    { end: ALLOW },
    { label: 'ioctl' },
    { load: argument(1) },
    ...IOCTLS.map((request) => ({ is: request, to: 'denied' })),
    { end: ALLOW },
    ...(network
      ? []
      : [
          { label: 'socket' },
          { load: argument(0) },
          ...FAMILIES.map((family) => ({ is: family, to: 'allowed' })),
          { end: EPERM },
          { label: 'allowed' },
          { end: ALLOW },
        ]),
    { label: 'denied' },
    { end: EPERM },
    { label: 'missing' },
    { end: ENOSYS },
  ]);
}

/**
 * Assembles instructions of eight bytes each, little-endian as both architectures are: the opcode,
 * two forward jumps, and an operand.
 */
function assemble(steps: readonly Step[]): Buffer {
  const labels = new Map<string, number>();
  const code: Exclude<Step, { label: string }>[] = [];
  for (const step of steps) {
    if ('label' in step) labels.set(step.label, code.length);
    else code.push(step);
  }
  const bytes = Buffer.alloc(8 * code.length);
  for (const [at, step] of code.entries()) {
    const put = (operation: number, operand: number, jump = 0): void => {
      bytes.writeUInt16LE(operation, 8 * at);
      bytes.writeUInt8(jump, 8 * at + 2);
      bytes.writeUInt32LE(operand, 8 * at + 4);
    };
    if ('load' in step) put(0x20, step.load);
    else if ('end' in step) put(0x06, step.end);
    else {
      const jump = (labels.get(step.to) ?? Number.NaN) - at - 1;
      if ('is' in step) put(0x15, step.is, jump);
      else put(0x35, step.from, jump);
    }
  }
  return bytes;
}

/** Returns the text of filters.ts. */
function filters(): string {
  const entries = Object.entries(ARCHITECTURES).map(([name, architecture]) => {
    const line = (network: boolean): string => filterFor(architecture, network).toString('base64');
    return `  ${name}: {\n    alone:\n      '${line(false)}',\n    network:\n      '${line(true)}',\n  },\n`;
  });
  return `/*
 * Made by tools/seccomp.ts, which spells out their rules.
 */

/** The system call filters of a sandbox by Node's name of the architecture, without the network and with it. In base64. */
export const FILTERS: Readonly<Record<string, { readonly alone: string; readonly network: string }>> = {
${entries.join('')}};
`;
}

if (import.meta.main) {
  const path = join(import.meta.dirname, '../src/chat/sandbox/filters.ts');
  if (!process.argv.includes('--check')) writeFileSync(path, filters());
  else if (readFileSync(path, 'utf8') !== filters())
    throw new Error(`${path} is out of date; run node tools/seccomp.ts`);
}
