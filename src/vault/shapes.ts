import type { SealedFile, Step } from './file/sealed-file.ts';
import type { UnlockOptions } from './keys/unlocking.ts';
import type { Lease } from './lease.ts';
import type { Summary } from './list/summary.ts';

/** Options of a vault. */
export interface VaultOptions extends UnlockOptions {
  /** Vault directory. Default: `COFFER_DATA_DIR`, else the platform's data directory. */
  readonly directory?: string | undefined;
}

/** A sealed file open for writing, with the lease that lets only this process write it. */
export interface Writable {
  readonly file: SealedFile;
  readonly lease: Lease;
}

/**
 * Builds the first step of a new sealed file, called while no other process can add one. `siblings`
 * lists the ids of recent sessions.
 */
export type FirstStep = (siblings: () => Iterable<Pick<Summary, 'id'>>) => Step;
