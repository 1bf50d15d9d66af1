import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';

/*
 * Checks one vault for each line of its stdin, opened again each time by the real code. A process
 * for each would cost more than all the rest of a state. It carries nothing over: a vault knows
 * only what it reads.
 */

/** The vault to check. */
export interface ToSee {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  /**
   * Then do what a user does next: resume what `_autosave` names or begin a session, save a step,
   * close, and check again.
   */
  readonly goOn: boolean;
}

/** The content of a vault. */
export interface SeenVault {
  readonly key?: string | undefined;
  /** The file that `_autosave` names, if it exists. */
  readonly autosave?: string | undefined;
  /** Sealed files with the first words of their messages, or why they can't be read. */
  readonly files: readonly {
    readonly fileId: string;
    readonly id: string;
    readonly torn: boolean;
    readonly texts: readonly string[];
    readonly error?: string | undefined;
  }[];
  /** Names next to the sealed files that no save in progress explains. */
  readonly strays: readonly string[];
  readonly error?: { readonly code: string; readonly message: string };
}

/** Its answer. */
export interface Seen {
  readonly found: SeenVault;
  readonly after?: SeenVault;
}

/** The step that `goOn` saves. */
export const WENT_ON = 'went-on';

if (process.argv[1] === import.meta.filename) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { goOn, ...where } = JSON.parse(line) as ToSee;
    const found = await look(where);
    const seen: Seen = goOn && !found.error ? { found, after: await look(where, goOnWith) } : { found };
    process.stdout.write(`${JSON.stringify(seen)}\n`);
  }
}

async function look(where: Omit<ToSee, 'goOn'>, first?: (vault: Sessions) => Promise<void>): Promise<SeenVault> {
  try {
    await using vault = await openVault({
      ...where,
      config: `${where.directory}-config`,
      keychain: where.env['COFFER_KEYCHAIN'] as 'fd',
    });
    await first?.(vault);
    const rows = await vault.list();
    const files: SeenVault['files'][number][] = [];
    for (const row of rows) {
      const seen = { fileId: row.fileId, id: row.id, torn: row.torn !== undefined };
      if (row.unreadable) files.push({ ...seen, texts: [], error: row.unreadable.code });
      else files.push({ ...seen, ...(await readTexts(vault, row)) });
    }
    return {
      key: vault.keys.status.state === 'ready' ? vault.keys.status.keyId : undefined,
      autosave: rows.find(({ autosave }) => autosave)?.fileId,
      files,
      strays: straysIn(join(where.directory, 'sessions')),
    };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { files: [], strays: [], error: { code: code ?? 'BUG', message } };
  }
}

async function readTexts(
  vault: Sessions,
  row: Awaited<ReturnType<Sessions['list']>>[number],
): Promise<{ texts: string[]; error?: string }> {
  try {
    const { state } = await vault.read(row);
    const texts = state.messages.map(({ content }) => String(content).split(' ')[0] ?? '');
    // No older copy is ever put back here: an alarm is a false one.
    return row.rolledBack === undefined ? { texts } : { texts, error: 'ROLLED_BACK' };
  } catch (error) {
    return { texts: [], error: String((error as NodeJS.ErrnoException).code ?? error) };
  }
}

async function goOnWith(vault: Sessions): Promise<void> {
  const last = (await vault.list()).find(({ autosave, unreadable }) => autosave && !unreadable);
  await using session = last
    ? await vault.resume(last)
    : vault.begin({ directory: '/work/project', model: 'demo/echo' });
  await session.append({ type: 'message', message: { role: 'user', content: WENT_ON } });
}

function straysIn(sessions: string): string[] {
  try {
    return readdirSync(sessions).filter((name) => !/^([0-9a-f]{32}|_autosave)$/.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
