import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CofferError, isCofferError } from '../../errors.ts';
import { lastSession } from '../../session/select.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { KeyState } from '../../session/shapes.ts';
import { Chat, reasonOf } from '../chat.ts';
import type { Input } from '../input.ts';
import { repl } from '../repl.ts';
import { ago, countMessages, describeSeen } from '../rows.ts';
import type { Settings } from '../settings.ts';
import { openSessions, type Shell } from '../shell.ts';
import { guard } from '../signals.ts';

/**
 * Chats until the end of input. With `which`, goes on with that session; its errors end the command then.
 * Gives the error of a reply that nobody saw fail. Throws `USAGE`, `MODEL_*`, `SETTINGS_INVALID`, `PASSPHRASE_WRONG`,
 * `NOT_SAVED` where the last save failed, and with `which` what resuming throws.
 */
export async function chat(
  shell: Shell,
  which?: string,
  accepted: { acceptOlder?: boolean } = {},
): Promise<CofferError | undefined> {
  const { terminal, env, options } = shell;
  const resumes = which !== undefined;
  const directory = await workDirectory(options.path);
  const { settings, sessions, input, stopAsking } = await openSessions(shell);
  try {
    const { openModel } = await import('../../chat/models.ts');
    const name =
      options.model ?? (resumes ? 'demo/eliza' : (settings.model ?? (await defaultModel(shell, settings, input))));
    const model = await openModel(name, { providers: settings.providers, env });
    if (which !== undefined) await sessions.find(which);
    const refusal = await unlock(sessions, resumes);
    if (refusal === undefined && sessions.slots.list().retiring !== undefined) await goOnRotating(shell, sessions);
    stopAsking();
    const inMemory = refusal !== undefined && (await isMemoryChat(sessions, refusal, env));
    const chat = new Chat({ terminal, input, sessions, settings, env, directory, inMemory }, model);
    using watch = guard({
      save: () => chat.finalSave(),
      lost: (error) => {
        terminal.fail(error instanceof Error ? error.message : String(error));
        return shell.exitOf(error);
      },
      restore: () => input.close(),
      leave: shell.leave,
    });
    if (which !== undefined) await chat.resume(which, accepted);
    if (resumes && options.model !== undefined) await chat.choose(options.model);
    const { networkWarning } = await import('../../vault/inspect.ts');
    const warning = inMemory ? undefined : networkWarning(sessions.directory);
    if (warning !== undefined) terminal.tell(warning);
    terminal.tell(`${chat.model?.name ?? 'no model'}, ${whereKeyIs(sessions.key, refusal, env)}`);
    if (!resumes && refusal === undefined) await tellLast(chat);
    const failed = await repl(chat, watch);
    await chat.close();
    return failed;
  } finally {
    input.close();
  }
}

/** The directory that a conversation is about. Throws `USAGE` where there is no such directory. */
async function workDirectory(path: string | undefined): Promise<string> {
  const directory = resolve(path ?? '.');
  const found = await stat(directory).catch((cause: NodeJS.ErrnoException) => {
    throw new CofferError(
      'USAGE',
      `--path ${directory} can't be used: ${cause.code === 'ENOENT' ? 'there is no such directory' : cause.code}`,
      { cause },
    );
  });
  if (!found.isDirectory()) throw new CofferError('USAGE', `--path ${directory} can't be used: it is not a directory`);
  return directory;
}

/** The embedded model, unless a server on this machine answers and the person wants it. */
async function defaultModel(shell: Shell, settings: Settings, input: Input): Promise<string> {
  if (!shell.terminal.interactive || !settings.detectLocal) return 'demo/eliza';
  const { builtinProviders, detectLocal, parseModelName } = await import('../../chat/models.ts');
  const found = await detectLocal();
  if (found === undefined) return 'demo/eliza';
  const address = URL.parse(builtinProviders[parseModelName(found).provider]?.baseURL ?? '')?.host ?? '127.0.0.1';
  const answer = await input.ask(`${found} answers at ${address}; use it? [Y/n] `);
  return /^(y(es)?)?$/i.test(answer?.trim() ?? 'n') ? found : 'demo/eliza';
}

/** Comes by the key; a chat goes on in memory without it, and gives why. */
async function unlock(sessions: Sessions, needed: boolean): Promise<CofferError | undefined> {
  try {
    await sessions.unlock();
    return undefined;
  } catch (error) {
    const bearable = isCofferError(error) && (error.code.startsWith('KEY_') || bearableCodes.has(error.code));
    if (needed || !bearable) throw error;
    return error;
  }
}

/** A rotation that can't come to its end now goes on at the next start: until then both keys open the vault. */
async function goOnRotating(shell: Shell, sessions: Sessions): Promise<void> {
  const { finishRotation, tellRotated } = await import('./rotate.ts');
  try {
    const finished = await finishRotation(shell, sessions);
    if (finished) tellRotated(shell, sessions, finished, (line) => shell.terminal.tell(line));
  } catch (error) {
    if (!isCofferError(error)) throw error;
    shell.terminal.tell(`the rotation of the key is not finished: ${error.message}`);
  }
}

/** What a chat survives at its start: it goes on in memory and tries again at every step. */
const bearableCodes: ReadonlySet<string> = new Set(['NOT_SAVED', 'DURABILITY_UNKNOWN', 'VAULT_BUSY']);

/** Whether nothing was ever promised: no keychain answers and there is no vault, or memory was asked for. */
async function isMemoryChat(sessions: Sessions, refusal: CofferError, env: NodeJS.ProcessEnv): Promise<boolean> {
  if (env['COFFER_KEYCHAIN'] === 'memory') return true;
  if (refusal.code !== 'KEY_ABSENT') return false;
  const { vaultFile, vaultFileError, sealedFiles } = await sessions.inspect();
  return vaultFile === undefined && vaultFileError === undefined && sealedFiles === 0;
}

function whereKeyIs(key: KeyState, refusal: CofferError | undefined, env: NodeJS.ProcessEnv): string {
  if (key.state !== 'ready') {
    const asked = env['COFFER_KEYCHAIN'] === 'memory' ? 'COFFER_KEYCHAIN=memory' : undefined;
    return `kept in memory only: ${asked ?? (refusal === undefined ? 'no key yet' : reasonOf(refusal))}`;
  }
  if (key.backend === 'passphrase') return 'key protected by a passphrase';
  if (key.backend === 'fd' || key.backend === 'memory') return `key from the ${key.provider}`;
  return `key in the keychain (${key.provider})`;
}

/** Names the session to go on with. Its list is the one shown: the number said here stays good when another session begins. */
async function tellLast(chat: Chat): Promise<void> {
  const rows = await chat.sessions.list();
  chat.shown = rows;
  for (const line of describeSeen(chat.sessions.seen)) chat.terminal.tell(line);
  const last = lastSession(rows);
  if (last === undefined) return;
  const what = `${last.label}, ${countMessages(last.messages)}, ${ago(last.updated)}`;
  const advice = last.rolledBack ?? `/resume ${last.number} continues it`;
  chat.terminal.tell(`last session: ${what}; ${advice}`);
}
