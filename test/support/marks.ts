import { join } from 'node:path';
import { VaultKey } from '../../src/envelope/key.ts';
import type { Row } from '../../src/session/list/row.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { VaultDirectory } from '../../src/vault/directory.ts';
import { readHeader } from '../../src/vault/file/open.ts';
import type { RollbackMark } from '../../src/vault/file/sealed-file.ts';
import { readVaultFile } from '../../src/vault/keys/record/vault-file.ts';
import { type RollbackMarks, Seen } from '../../src/vault/marks/seen.ts';
import { begin, type Home, user } from './vault.ts';

/** Begins a session with one step and closes it. Returns its file id. */
export async function written(at: Home, text: string): Promise<string> {
  await using sessions = await at.open();
  const session = begin(sessions);
  await session.append(user(text));
  await session.close();
  return session.fileId!;
}

/** Resumes the last saved session, appends one step and closes it. */
export async function resumed(at: Home, text: string): Promise<void> {
  await using sessions = await at.open();
  const session = await sessions.resume(await sessions.find('last'));
  await session.append(user(text));
  await session.close();
}

/** Returns the row of a file. */
export async function rowOf(sessions: Sessions, fileId: string): Promise<Row> {
  return (await sessions.list()).find((row) => row.fileId === fileId)!;
}

/** Returns the path of the rollback marks. */
export function seenOf(at: Home): string {
  return join(at.directory, 'seen');
}

/** Returns the header of a sealed file. */
export function headerOf(at: Home, fileId: string): ReturnType<typeof readHeader> {
  return readHeader(at.path(fileId), fileId);
}

/** Returns the vault key. */
export async function keyOf(at: Home): Promise<VaultKey> {
  const found = await at.keyring.get(readVaultFile(at.directory)!.key);
  if (found.outcome !== 'READY') throw new Error(found.outcome);
  return VaultKey.from(found.secret);
}

/** Returns the rollback marks as a new process reads them, and the error if they can't be read. */
export async function marksOf(
  at: Home,
): Promise<Pick<RollbackMarks, 'header' | 'error'> & { readonly marks: ReadonlyMap<string, RollbackMark> }> {
  const { header, error, lines } = new Seen(new VaultDirectory(at.directory)).read({ key: await keyOf(at) });
  return { header, error, marks: lines.marks };
}
