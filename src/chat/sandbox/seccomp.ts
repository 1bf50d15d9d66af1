import { FILTERS } from './filters.ts';

/**
 * Returns the filter of system calls for a sandbox on this machine, as bubblewrap reads it: no kernel keyring, no looking into other
 * processes, no typing into a terminal, and without the network no sockets but those of the empty network. Undefined for an architecture
 * that has none.
 */
export function systemCallFilter(network: boolean, architecture: string = process.arch): Buffer | undefined {
  const filters = FILTERS[architecture];
  return filters && Buffer.from(network ? filters.network : filters.alone, 'base64');
}
