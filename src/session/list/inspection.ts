import { CofferError } from '../../errors.ts';
import { inspectDirectory, type VaultInspection } from '../../vault/inspect.ts';
import type { Vault } from '../../vault/vault.ts';
import { type Conflict, readConflicts } from './conflicts.ts';
import { type Row, toRows } from './row.ts';

/**
 * Inspects a vault without changing anything. If the key is available, every file is opened;
 * otherwise `rows` and `conflicts` are empty.
 */
export async function inspectVault(
  vault: Vault,
): Promise<VaultInspection & { rows: readonly Row[]; conflicts: readonly Conflict[] }> {
  const found = await inspectDirectory(vault.directory);
  try {
    const rows = toRows(await vault.list(true), vault.autosaveTarget());
    return { ...found, rows, conflicts: await readConflicts(vault, rows) };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { ...found, rows: [], conflicts: [] };
  }
}
