import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { vi } from 'vitest';
import { openVault } from '../../src/index.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import { reply, user } from '../support/vault.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

/** A vault, and the session in it that the commands use. */
export interface Subject {
  /** The folder around the vault. */
  readonly root: string;
  readonly vault: string;
  readonly fileId: string;
  /** The id of its key slot. */
  readonly slot: string;
  /** The directory that the session is about. */
  readonly about: string;
  /** The session as written by `coffer export --format jsonl`. */
  readonly exported: string;
}

/** The directory that the sessions are about. Any user may read it. */
const ABOUT = '/';

/** A good vault, copies of which are then damaged. */
export interface Template {
  readonly folder: string;
  readonly env: Record<string, string>;
  /** Copies the vault into a separate folder. */
  in(root: string): Subject;
}

/**
 * Makes a vault in which each command finds what it changes: a marked session, a snapshot of it,
 * and a session three days old.
 */
export async function makeTemplate(): Promise<Template> {
  const { folder, env: own } = await makeFolder();
  const env = { ...own, HOME: folder, COFFER_KEEP_MESSAGES: '1' };
  await using vault = await openVault({ directory: join(folder, 'vault'), env });
  const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3 * 86_400_000);
  await using old = vault.begin({ directory: '/tmp', model: 'demo/echo' });
  await old.append(user('hello from another time'), reply('hello'));
  await old.close();
  clock.mockRestore();
  await using session = vault.begin({ directory: ABOUT, model: 'demo/echo' });
  await session.append(...conversation);
  await session.save('a snapshot');
  await session.close();
  const { id: slot } = await vault.keys.slots.addPassphrase('secret');
  const fileId = session.fileId ?? '';
  const exported = join(folder, 'exported.jsonl');
  const fake = new FakeTerminal();
  await runHere(fake, ['export', fileId, '--format', 'jsonl'], env);
  writeFileSync(exported, fake.out);
  return {
    folder,
    env,
    in(root) {
      const copy = join(root, 'vault');
      execFileSync('cp', ['-a', join(folder, 'vault'), copy]); // keep modes and times too: cpSync applies the umask
      return { root, vault: copy, fileId, slot, exported, about: ABOUT };
    },
  };
}

const conversation: readonly NewEvent[] = [
  user('hello'),
  reply('hello to you'),
  user('and again'),
  reply('again'),
  { type: 'pin', pinned: true },
  { type: 'tags', tags: ['old'] },
];
