import type { SealedFile, Step } from './file/sealed-file.ts';
import type { UnlockOptions } from './keys/unlocking.ts';
import type { Lease } from './lease.ts';
import type { Summary } from './list/summary.ts';

/** What a vault is opened with. */
export interface VaultOptions extends UnlockOptions {
  /** Default: `COFFER_DATA_DIR`, else the platform's place for a program's data. */
  readonly directory?: string | undefined;
}

/** A sealed file open for writing, with the lease that makes it ours. */
export interface Writable {
  readonly file: SealedFile;
  readonly lease: Lease;
}

/** What a new sealed file begins with, decided while nobody else can add one. */
export type FirstStep = (siblings: () => Iterable<Pick<Summary, 'id'>>) => Step;
