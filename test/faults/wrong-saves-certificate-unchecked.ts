/* Believes that one key replaces another because vault.json says so. */

export * from '../../src/vault/keys/record/record.ts';

/** Replaces coffer's own. */
export function certifies(): boolean {
  return true;
}

/** Replaces coffer's own. */
export async function leadsTo(): Promise<boolean> {
  return true;
}
