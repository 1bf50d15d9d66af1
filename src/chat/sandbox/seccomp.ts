import { FILTERS } from './filters.ts';

/**
 * Returns the system call filter for a sandbox on this machine, as bubblewrap reads it: no kernel
 * keyring, no access to other processes, no injected terminal input, and without the network no
 * sockets except those of the empty network. Undefined for an architecture without a filter.
 */
export function systemCallFilter(network: boolean, architecture: string = process.arch): Buffer | undefined {
  const filters = FILTERS[architecture];
  return filters && Buffer.from(network ? filters.network : filters.alone, 'base64');
}
