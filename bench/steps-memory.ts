import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryKeyring } from '../src/keyring/memory.ts';
import { openVault } from '../src/session/open-vault.ts';
import { isInMemory } from './machine.ts';
import { interleave } from './measure.ts';
import type { Line, Size } from './part.ts';
import { sqlcipher } from './peers/sqlcipher.ts';
import { sqlite } from './peers/sqlite.ts';
import { Field } from './steps-field.ts';
import { lineAgainst, spreadAt } from './vaults.ts';

const MEMORY = '/dev/shm';
const BYTES = 1e6;
const ROUNDS: Record<Size, number> = { full: 300, short: 150 };

/**
 * Measures a step without waiting for the disk, if there is a file system in memory. On a disk that
 * is slow, or that others keep busy, everyone waits equally long and all ratios approach 1; these
 * don't.
 */
export async function measureInMemory(size: Size): Promise<{ lines: Line[]; notes: string[] }> {
  if (!isInMemory(MEMORY))
    return { lines: [], notes: [`steps: measurements in memory left out, ${MEMORY} is not in memory`] };
  const folder = mkdtempSync(join(MEMORY, 'coffer-bench-'));
  try {
    await using sessions = await openVault({ directory: join(folder, 'vault'), keyring: new MemoryKeyring(), env: {} });
    await using field = new Field({ sessions, folder }, BYTES);
    await field.begin();
    await using opposed = await field.open([sqlite, sqlcipher]);
    const times = await interleave([...field.tasks(), ...opposed.tasks()], ROUNDS[size]);
    const coffer = spreadAt(times, `coffer ${field.id}`);
    const lines = [sqlite, sqlcipher].map(({ id, name }) =>
      lineAgainst(`step-memory-${id}`, `a step in a ${field.name} session, all files in memory`, coffer, {
        what: name,
        value: spreadAt(times, `${id} ${field.id}`),
      }),
    );
    return { lines, notes: [] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
