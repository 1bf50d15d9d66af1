import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../../errors.ts';
import { Host } from '../../../live/host/host.ts';
import type { Instructing } from '../../../live/host/instructions.ts';
import type { Row } from '../../../session/list/row.ts';
import { lastSession } from '../../../session/list/select.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { emptyState } from '../../../session/state.ts';
import type { Settings } from '../../../settings/settings.ts';
import { Chat } from '../../../terminal/chat.ts';
import type { Input } from '../../../terminal/input/input.ts';
import { tellPassedOver } from '../../../terminal/output/rows.ts';
import { frontEnd } from '../../../terminal/questions.ts';
import { repl, runPrompt } from '../../../terminal/repl.ts';
import type { ProgramOptions, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { guard } from '../../signals.ts';
import { tellStart } from './greeting.ts';
import { Looking } from './surroundings.ts';

/** Beginning of a chat: which session, and its first prompt. */
export interface ChatRequest {
  /** The session to resume. If it can't be resumed, the command fails. */
  readonly which?: string | undefined;
  /** Resumes the newest session of this directory, or fails if there is none. */
  readonly newest?: boolean | undefined;
  /** Begins a new conversation, regardless of the settings. */
  readonly anew?: boolean | undefined;
  readonly acceptOlder?: boolean | undefined;
  /** Prints one reply to this prompt and exits; `-` reads it from standard input. */
  readonly prompt?: string | undefined;
}

/** Returns what the command-line options ask for. Throws `USAGE` if they contradict each other. */
export function requestOf(options: ProgramOptions): ChatRequest {
  const { continue: newest, resume, attach, incognito, prompt } = options;
  const asked = [newest, resume === false ? undefined : resume, attach].filter((option) => option !== undefined);
  if (asked.length > 1 || (asked.length === 1 && resume === false)) {
    throw new CofferError('USAGE', 'only one of --continue, --resume, --attach and --no-resume is allowed');
  }
  if (asked.length > 0 && incognito === true) {
    throw new CofferError('USAGE', "an incognito chat can't resume a session", {
      advice: 'leave out --incognito, or the session',
    });
  }
  const which = attach ?? (resume === true ? 'last' : resume || undefined);
  return { which, newest, prompt, anew: resume === false || incognito };
}

/**
 * Chats until the end of input, or prints the one reply to `request.prompt`. Returns the error of a
 * failed reply if there was no terminal to see it on. Throws `USAGE`, `MODEL_*`,
 * `SETTINGS_INVALID`, `PASSPHRASE_WRONG`, `NOT_SAVED` if the last save failed, and what resuming
 * throws if a session was asked for.
 */
export async function chat(shell: Shell, request: ChatRequest): Promise<CofferError | undefined> {
  const { terminal, env, options } = shell;
  const incognito = options.incognito === true;
  const directory = workDirectory(options.path);
  // git is a separate process: it runs while the rest is loaded and the key is looked up.
  const surroundings = new Looking(terminal, directory);
  const { settings, sessions, input, stopAsking } = await openSessions(shell);
  try {
    const which = await targetOf(shell, { request, settings, sessions, surroundings });
    const resumes = which !== undefined;
    const words = request.prompt;
    const prompt = words === undefined ? undefined : await (await import('./prompt-text.ts')).promptOf(words, terminal);
    const asks = !resumes && prompt === undefined;
    const { openModel } = await import('../../../chat/models/models.ts');
    const chosen = resumes
      ? options.model
      : (settings.model ?? (asks ? await localModel(shell, settings, input) : undefined));
    const model = await openModel(chosen ?? 'demo/eliza', { ...settings, env });
    const { requireMaySend } = await import('../../../live/host/elsewhere.ts');
    await requireMaySend(emptyState, model.name, { settings, front: frontEnd(terminal, input), maySend: true });
    const found = which === undefined ? undefined : await sessions.find(which);
    const isNewest = request.which === undefined || request.which === 'last';
    if (found !== undefined && isNewest) tellPassedOver(terminal, await sessions.list(), found);
    const refusal = incognito ? undefined : await unlock(sessions, resumes);
    const awaited = sessions.keys.status.state === 'awaited';
    if (!incognito && refusal === undefined && sessions.keys.record.isRotating) await continueRotation(shell, sessions);
    stopAsking();
    const inMemory = refusal !== undefined && (await isMemoryChat(sessions, refusal, env));
    const maySend = options.yes === true;
    const prompted = prompt !== undefined;
    const attended = terminal.interactive;
    const settingsIn = async (directory: string): Promise<Settings> => {
      const { loadSettings, settingsPath } = await import('../../../settings/settings.ts');
      return loadSettings(settingsPath(env), { env, options, directory });
    };
    const host = new Host({
      ...{ sessions, settings, settingsIn, env, inMemory, incognito, attended, maySend },
      surroundings: await surroundings.soon(),
    });
    const chat = new Chat({ terminal, input, host, prompted }, host.begin(model, model.name));
    using watch = guard({
      save: () => chat.finalSave(),
      lost: (error) => {
        terminal.fail(error instanceof Error ? error.message : String(error));
        return shell.exitOf(error);
      },
      restore: () => input.close(),
      leave: shell.leave,
    });
    const accepted = { acceptOlder: request.acceptOlder, here: options.here, model: options.model };
    if (!(resumes && prompted)) await instruct(chat, { agents: options.agents, mayAsk: !prompted, quiet: resumes });
    if (which !== undefined && !(await goOn(chat, which, accepted))) return undefined;
    if (resumes) await instructAnew(chat, options.system);
    if (!awaited) await prune(chat);
    await tellStart(chat, { refusal, resumes: resumes || prompted });
    const failed =
      prompt === undefined
        ? await repl(chat, {
            end: (signal) => watch.end(signal),
            beforeLine: () => surroundings.place(chat),
            runSlash: async (line) => (await import('../../slash.ts')).runSlash(chat, line, shell.commandLine.commands),
          })
        : await runPrompt(chat, watch, prompt);
    await finish(chat);
    await surroundings.placeAtEnd(chat);
    await chat.close();
    return failed;
  } finally {
    surroundings.stop();
    input.close();
  }
}

/** Loads the code that reads instructions only if there are any. */
async function instruct({ host, live, front, incognito }: Chat, options: Instructing): Promise<void> {
  const { session, settings, workplace } = live;
  const hasAgents = lstatSync(join(workplace.directory, 'AGENTS.md'), { throwIfNoEntry: false }) !== undefined;
  if (!settings.systemPrompt && !hasAgents) return;
  const { instructionsOf } = await import('../../../live/host/instructions.ts');
  const sessions = incognito ? undefined : host.sessions;
  host.instruct(await instructionsOf({ session, workplace, sessions }, front, options));
  live.reinstruct();
}

/**
 * A resumed conversation keeps its instructions, unless the command line has another system prompt.
 */
async function instructAnew({ live }: Chat, system: string | undefined): Promise<void> {
  if (system === undefined) return;
  const { systemInstructions } = await import('../../../live/host/instructions.ts');
  const instructions = await systemInstructions(system);
  const before = live.session.state.instructions.find(({ source }) => source === 'system');
  if ((before?.text ?? '') !== instructions.text) await live.note({ type: 'instructions', ...instructions });
}

/** Summarises older messages if the settings say so. Loads the code only then. */
async function finish(chat: Chat): Promise<void> {
  if (!chat.settings.compactOnFinish) return;
  const { compactOnFinish } = await import('../session/compact.ts');
  await compactOnFinish(chat);
}

/**
 * Prunes sessions if the settings have a retention. The resumed session is already held, and is
 * kept whatever its age.
 */
async function prune(chat: Chat): Promise<void> {
  const { settings } = chat;
  if (settings.maxSessions === undefined && settings.retentionDays === undefined) return;
  const { pruneAtStart } = await import('../session/prune.ts');
  await pruneAtStart(chat);
}

/**
 * Resumes a session, and switches to another model if one is asked for. Returns whether it did;
 * closes the session if that fails.
 */
async function goOn(
  chat: Chat,
  which: string,
  options: { acceptOlder: boolean | undefined; here: boolean | undefined; model: string | undefined },
): Promise<boolean> {
  try {
    const resumed = await chat.resume(which, options);
    if (resumed && options.model !== undefined) await chat.live.send({ type: 'ChooseModel', model: options.model });
    return resumed;
  } catch (error) {
    await chat.close();
    throw error;
  }
}

/**
 * Returns the session to resume, if one was asked for or the settings say so. Throws
 * `SESSION_NOT_FOUND`.
 */
async function targetOf(
  { terminal }: Shell,
  from: { request: ChatRequest; settings: Settings; sessions: Sessions; surroundings: Looking },
): Promise<string | undefined> {
  const { request, settings, sessions } = from;
  if (request.which !== undefined) return request.which;
  const isAutomatic = request.newest !== true;
  if (isAutomatic && (request.anew === true || !settings.autoResume)) return undefined;
  const { isOf } = await import('../../../session/project/project.ts');
  const surroundings = await from.surroundings.known();
  const rows = await listed(sessions, isAutomatic);
  const last = lastSession(rows.filter((row) => !row.archived && isOf(row, surroundings)));
  if (last !== undefined) {
    if (isAutomatic) terminal.tell(`resuming ${last.label} (autoResume); --no-resume begins a new one`);
    return last.id;
  }
  if (isAutomatic) return undefined;
  throw new CofferError('SESSION_NOT_FOUND', `no free session of ${surroundings.directory}`, {
    advice: 'coffer -l lists them, coffer begins one',
  });
}

/**
 * Lists the sessions. If none was asked for, an unavailable key is ignored here: the chat reports
 * it.
 */
async function listed(sessions: Sessions, isAutomatic: boolean): Promise<Row[]> {
  try {
    return await sessions.list();
  } catch (error) {
    if (!isAutomatic || !isCofferError(error)) throw error;
    return [];
  }
}

/** Returns the real path of the conversation's directory. Throws `USAGE` if it doesn't exist. */
function workDirectory(path: string | undefined): string {
  const directory = resolve(path ?? '.');
  const refused = (why: string | undefined, cause?: unknown): CofferError =>
    new CofferError('USAGE', `--path ${directory} can't be used: ${why}`, { cause });
  let found: Stats;
  try {
    found = statSync(directory);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw refused(code === 'ENOENT' ? 'there is no such directory' : code, cause);
  }
  if (!found.isDirectory()) throw refused('it is not a directory');
  return realpathSync(directory);
}

/** Returns the model of a server on this machine, if one is running and the user accepts it. */
async function localModel(shell: Shell, settings: Settings, input: Input): Promise<string | undefined> {
  if (!shell.terminal.interactive || !settings.detectLocal) return undefined;
  const { builtinProviders, detectLocal, parseModelName } = await import('../../../chat/models/models.ts');
  const found = await detectLocal();
  if (found === undefined) return undefined;
  const address = URL.parse(builtinProviders[parseModelName(found).provider]?.baseURL ?? '')?.host ?? '127.0.0.1';
  const answer = await input.ask(`found ${found} at ${address}; use it? [Y/n] `);
  return /^(y(es)?)?$/i.test(answer?.trim() ?? 'n') ? found : undefined;
}

/**
 * Unlocks the vault. A chat that needs nothing from it starts in memory if the key is unavailable
 * or slow, and is saved once the key arrives; returns the reason then.
 */
async function unlock(sessions: Sessions, needed: boolean): Promise<CofferError | undefined> {
  if (needed) {
    await sessions.keys.unlock();
    return undefined;
  }
  const refusal = await sessions.keys.unlockSoon();
  if (refusal === undefined || refusal.code.startsWith('KEY_') || bearableCodes.has(refusal.code)) return refusal;
  throw refusal;
}

/**
 * Resumes an interrupted rotation. If it can't finish now, it is retried at the next start: until
 * then both keys open the vault.
 */
async function continueRotation(shell: Shell, sessions: Sessions): Promise<void> {
  const { resumeRotation, tellRotated } = await import('../key/rotate.ts');
  try {
    const finished = await resumeRotation(shell, sessions);
    if (finished) tellRotated(shell, sessions, finished, (line) => shell.terminal.tell(line));
  } catch (error) {
    if (!isCofferError(error)) throw error;
    shell.terminal.tell(`key rotation not finished: ${error.message}`);
  }
}

/** Errors that a chat survives at its start: it continues in memory and retries at every step. */
const bearableCodes: ReadonlySet<string> = new Set(['NOT_SAVED', 'DURABILITY_UNKNOWN', 'VAULT_BUSY']);

/**
 * Whether the chat was never meant to be saved: there is no keychain and no vault, or memory was
 * asked for.
 */
async function isMemoryChat(sessions: Sessions, refusal: CofferError, env: NodeJS.ProcessEnv): Promise<boolean> {
  if (env['COFFER_KEYCHAIN'] === 'memory') return true;
  if (refusal.code !== 'KEY_ABSENT') return false;
  const { vaultFile, vaultFileError, sealedFiles } = await sessions.upkeep.inspect();
  return vaultFile === undefined && vaultFileError === undefined && sealedFiles === 0;
}
