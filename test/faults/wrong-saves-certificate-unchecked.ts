/* Believes that one key replaces another because vault.json says so. */

export * from '../../src/vault/keys/record/record.ts';

/** Takes the place of coffer's own. */
export function certifies(): boolean {
  return true;
}

/** Takes the place of coffer's own. */
export async function leadsTo(): Promise<boolean> {
  return true;
}
