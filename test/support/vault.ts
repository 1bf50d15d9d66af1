import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import { type OpenOptions, openVault } from '../../src/session/open-vault.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';

/** Creates an empty folder that is removed when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * A vault and its keyring, which can be opened any number of times as if by different processes.
 */
export interface Home {
  readonly directory: string;
  readonly keyring: MemoryKeyring;
  open(options?: OpenOptions): Promise<Sessions>;
  /** Returns the names of the sealed files. */
  files(): string[];
  path(fileId: string): string;
}

/** Returns a new home, or one for an existing directory with the keyring that opens it. */
export function home(
  directory: string = join(temporaryFolder(), 'data'),
  keyring: MemoryKeyring = new MemoryKeyring(),
): Home {
  return {
    directory,
    keyring,
    open: (options = {}) => openVault({ directory, keyring, env: {}, ...options }),
    files: () => readdirSync(join(directory, 'sessions')).filter((name) => /^[0-9a-f]{32}$/.test(name)),
    path: (fileId) => join(directory, 'sessions', fileId),
  };
}

/** Copies the vault as a crash at this moment would leave it, without its lock files. */
export function crashed(at: Home): Home {
  const directory = join(temporaryFolder(), 'data');
  cpSync(at.directory, directory, { recursive: true, verbatimSymlinks: true });
  rmSync(join(directory, 'locks'), { recursive: true });
  return home(directory, at.keyring);
}

/** Begins a session as the chat does. */
export function begin(sessions: Sessions): Session {
  return sessions.begin({ directory: '/work/project', model: 'demo/echo' });
}

/** Returns the event of a user's message. */
export function user(content: string): NewEvent {
  return { type: 'message', message: { role: 'user', content } };
}

/** Returns the event of a reply by `demo/echo`. */
export function reply(content: string): NewEvent {
  return { type: 'message', model: 'demo/echo', message: { role: 'assistant', content } };
}

/** Returns the texts of a session's messages. */
export function texts(session: Pick<Session, 'state'>): unknown[] {
  return session.state.messages.map((message) => message.content);
}
