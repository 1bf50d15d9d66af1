import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CofferError, isCofferError } from '../../../errors.ts';
import { Host } from '../../../live/host.ts';
import type { Instructing } from '../../../live/instructions.ts';
import type { Row } from '../../../session/list/row.ts';
import { lastSession } from '../../../session/list/select.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { emptyState } from '../../../session/state.ts';
import type { Settings } from '../../../settings/settings.ts';
import { Chat } from '../../../terminal/chat.ts';
import type { Input } from '../../../terminal/input.ts';
import { frontEnd } from '../../../terminal/questions.ts';
import { repl, runPrompt } from '../../../terminal/repl.ts';
import { tellPassedOver } from '../../../terminal/rows.ts';
import type { ProgramOptions, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { guard } from '../../signals.ts';
import { tellStart } from './greeting.ts';
import { Looking } from './surroundings.ts';

/** What a chat is to begin with. */
export interface ChatRequest {
  /** The session to go on with; its errors end the command then. */
  readonly which?: string | undefined;
  /** The newest session of this directory, and an error where there is none. */
  readonly newest?: boolean | undefined;
  /** A new conversation, whatever the settings say. */
  readonly anew?: boolean | undefined;
  readonly acceptOlder?: boolean | undefined;
  /** One turn with these words, then the end; `-` stands for standard input. */
  readonly prompt?: string | undefined;
}

/** What the options on the command line ask for. Throws `USAGE` where they ask for two things. */
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
 * Chats until the end of input, or takes the one turn of `request.prompt`. Gives the error of a reply that nobody saw fail. Throws
 * `USAGE`, `MODEL_*`, `SETTINGS_INVALID`, `PASSPHRASE_WRONG`, `NOT_SAVED` where the last save failed, and what resuming throws where a
 * session was asked for.
 */
export async function chat(shell: Shell, request: ChatRequest): Promise<CofferError | undefined> {
  const { terminal, env, options } = shell;
  const incognito = options.incognito === true;
  const directory = workDirectory(options.path);
  // git is a process of its own: it looks while the rest is loaded and the key is looked up.
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
    const { requireMaySend } = await import('../../../live/elsewhere.ts');
    await requireMaySend(emptyState, model.name, { settings, front: frontEnd(terminal, input), maySend: true });
    const found = which === undefined ? undefined : await sessions.find(which);
    const isNewest = request.which === undefined || request.which === 'last';
    if (found !== undefined && isNewest) tellPassedOver(terminal, await sessions.list(), found);
    const refusal = incognito ? undefined : await unlock(sessions, resumes);
    const awaited = sessions.key.state === 'awaited';
    if (!incognito && refusal === undefined && sessions.record.isRotating) await goOnRotating(shell, sessions);
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

/** Loads what reads instructions only if there are any. */
async function instruct({ host, live, front, incognito }: Chat, options: Instructing): Promise<void> {
  const { session, settings, workplace } = live;
  const hasAgents = lstatSync(join(workplace.directory, 'AGENTS.md'), { throwIfNoEntry: false }) !== undefined;
  if (!settings.systemPrompt && !hasAgents) return;
  const { instructionsOf } = await import('../../../live/instructions.ts');
  const sessions = incognito ? undefined : host.sessions;
  host.instruct(await instructionsOf({ session, workplace, sessions }, front, options));
  live.reinstruct();
}

/** A resumed conversation keeps its instructions, unless the command line has another system prompt. */
async function instructAnew({ live }: Chat, system: string | undefined): Promise<void> {
  if (system === undefined) return;
  const { systemInstructions } = await import('../../../live/instructions.ts');
  const instructions = await systemInstructions(system);
  const before = live.session.state.instructions.find(({ source }) => source === 'system');
  if ((before?.text ?? '') !== instructions.text) await live.instruct(instructions);
}

/** What a turn needs is loaded for one alone, and where the settings want a summary. */
async function finish(chat: Chat): Promise<void> {
  if (!chat.settings.compactOnFinish) return;
  const { compactOnFinish } = await import('../session/compact.ts');
  await compactOnFinish(chat);
}

/** Where the settings have a retention: the session that is gone on with is held by now, and stays whatever its age. */
async function prune(chat: Chat): Promise<void> {
  const { settings } = chat;
  if (settings.maxSessions === undefined && settings.retentionDays === undefined) return;
  const { pruneAtStart } = await import('../session/prune.ts');
  await pruneAtStart(chat);
}

/** Resumes a session, and lets another model answer where one is asked for. Gives whether it did; what can't be leaves the session closed. */
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

/** The session to go on with, where one is asked for or the settings say so. Throws `SESSION_NOT_FOUND`. */
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

/** What there is; where nobody asked for a session, a key that can't be had is told by the chat itself. */
async function listed(sessions: Sessions, isAutomatic: boolean): Promise<Row[]> {
  try {
    return await sessions.list();
  } catch (error) {
    if (!isAutomatic || !isCofferError(error)) throw error;
    return [];
  }
}

/** The real path of the directory that a conversation is about. Throws `USAGE` where there is no such directory. */
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

/** The model of a server on this machine, where one answers and the person wants it. */
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
 * Unlocks the vault. A chat that needs nothing from it starts in memory if the key can't be had or is slow to come, and is saved once the
 * key is there; returns the reason then.
 */
async function unlock(sessions: Sessions, needed: boolean): Promise<CofferError | undefined> {
  if (needed) {
    await sessions.unlock();
    return undefined;
  }
  const refusal = await sessions.unlockSoon();
  if (refusal === undefined || refusal.code.startsWith('KEY_') || bearableCodes.has(refusal.code)) return refusal;
  throw refusal;
}

/** A rotation that can't come to its end now goes on at the next start: until then both keys open the vault. */
async function goOnRotating(shell: Shell, sessions: Sessions): Promise<void> {
  const { finishRotation, tellRotated } = await import('../key/rotate.ts');
  try {
    const finished = await finishRotation(shell, sessions);
    if (finished) tellRotated(shell, sessions, finished, (line) => shell.terminal.tell(line));
  } catch (error) {
    if (!isCofferError(error)) throw error;
    shell.terminal.tell(`key rotation not finished: ${error.message}`);
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
