import { openSync, readFileSync, readSync } from 'node:fs';

/* A buffer that is allocated and never touched takes no memory. Only the address space shows it. */

/** Returns the largest address space this process ever had, in MiB. */
export function greatestAddressSpace(): number {
  const [, kibibytes] = /VmPeak:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  if (kibibytes === undefined) throw new Error('the kernel does not say how much address space there is');
  return Math.ceil(Number(kibibytes) / 1024);
}

/** Returns the current address space of this process, in MiB. Takes some microseconds. */
export function addressSpace(): number {
  statm ??= openSync('/proc/self/statm', 'r');
  const length = readSync(statm, line, 0, line.length, 0);
  return Math.ceil((Number.parseInt(line.toString('latin1', 0, length), 10) * PAGE) / 2 ** 20);
}

const PAGE = 4096;
const line = Buffer.alloc(100);
let statm: number | undefined;
