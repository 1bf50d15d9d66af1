import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makePlace, type Place } from '../support/coffer.ts';
import { startModelServer } from '../support/model-server.ts';
import { type Ending, Terminal } from '../support/pty.ts';
import { check } from './driven.ts';
import { type Chat, Piped, TerminalMode } from './exits-chat.ts';
import type { Way } from './exits-endings.ts';
import { Hold } from './exits-hold.ts';
import { type Moment, prompted } from './exits-moments.ts';

/** The outcome of a chat that ended in one way at one moment. */
export interface Outcome {
  /** Steps and parts of a reply that are gone. */
  readonly lost: string[];
  /** Everything else that breaks a promise. */
  readonly wrong: string[];
}

/** Number of times a moment may be missed on a busy machine before that is a failure. */
const TRIES = 4;
/** Time a chat may take to end before it counts as hanging, in milliseconds. */
const PATIENCE = 30_000;

/**
 * Ends a chat in one way at one moment, and checks what it left. `wrongExit` replaces coffer's
 * guard with another one.
 */
export async function runCase(moment: Moment, way: Way, wrongExit?: string): Promise<Outcome> {
  for (let left = TRIES; left > 0; left--) {
    const outcome = await attempt(moment, way, wrongExit);
    if (outcome) return outcome;
  }
  return { lost: [], wrong: ['the save was over each time before the end came'] };
}

/** Returns undefined if the save was over before the end came. */
async function attempt(moment: Moment, way: Way, wrongExit: string | undefined): Promise<Outcome | undefined> {
  await using server = await startModelServer();
  const { saveInterval = 30_000 } = moment;
  await using place = await makePlace({ settings: { saveInterval, providers: { held: { baseURL: server.held } } } });
  await moment.prepare?.(place);
  await using hold = new Hold();
  await using chat = start(place, way, moment.args, wrongExit);
  await chat.waitFor(/key from/);
  await prompted(chat);
  using mode = chat instanceof Terminal && way.name !== 'the terminal closed' ? new TerminalMode(chat) : undefined;
  await moment.reach({ place, chat, server, hold });
  if (way.on === 'pipe') way.strike(chat as Piped);
  else way.strike(chat as Terminal);
  if (hold.isOver) return undefined;
  await way.after?.(chat as Terminal);
  if (way.on === 'pipe' && moment.partial !== undefined) {
    server.release();
    server.finish();
  }
  const seen = await endOf(chat);
  const wrong = mode && !(await mode.isGivenBack()) ? ['the terminal is not given back'] : [];
  return await look(place, moment, way, seen, wrong);
}

/** Resolves with the ending of a chat. Rejects if it does not end. */
async function endOf(chat: Chat): Promise<Ending> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('it does not end')), PATIENCE);
  try {
    return await Promise.race([chat.exit, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function start(place: Place, way: Way, args: readonly string[], wrongExit: string | undefined): Chat {
  const loaded = ['exits-throw.ts', ...(wrongExit === undefined ? [] : ['wrong-exit.ts'])];
  const options = loaded.map((file) => `--import=${join(import.meta.dirname, file)}`).join(' ');
  const env: Record<string, string> = { NODE_OPTIONS: options, UV_THREADPOOL_SIZE: '1', NO_COLOR: '1' };
  if (wrongExit !== undefined) env['WRONG_EXIT'] = wrongExit;
  return way.on === 'pipe' ? new Piped(place, args, env) : place.terminal(args, { env });
}

/**
 * Checks in a fresh process for what was said, resumes it and begins another conversation. Then no
 * leftovers may remain.
 */
async function look(place: Place, moment: Moment, way: Way, seen: Ending, wrong: string[]): Promise<Outcome> {
  if (seen.code !== way.seen.code || seen.signal !== way.seen.signal)
    wrong.push(`its parent sees ${describe(seen)} instead of ${describe(way.seen)}`);
  const found = await check({ ...place.libraryEnv, COFFER_DATA_DIR: place.data }, { goOn: true, anew: true });
  if (found.error) wrong.push(`the vault does not open: ${found.error.message}`);
  for (const { fileId, error, torn } of found.files)
    if (error ?? torn) wrong.push(`${fileId} can't be read: ${error ?? torn}`);
  const sessions = found.files.filter(({ kind }) => kind === 'session');
  if (sessions.length > 1) wrong.push(`there are ${sessions.length} sessions of one conversation`);
  const [session] = sessions;
  const texts = session?.texts ?? [];
  const lost = moment.kept.filter((text, at) => texts[at] !== text);
  const isPartial = moment.partial !== undefined && way.on === 'terminal';
  if (isPartial && !session?.partial?.includes(moment.partial)) lost.push('the partial reply');
  const said = texts.filter((text) => text !== 'echo:');
  if (said.length > new Set(said).size) wrong.push(`said twice: ${texts.join(', ')}`);
  for (const name of leftOver(place)) wrong.push(`${name} is left over`);
  return { lost, wrong };
}

function describe({ code, signal }: Ending): string {
  return signal ?? `exit ${code}`;
}

function leftOver(place: Place): string[] {
  const locks = readdirSync(join(place.data, 'locks')).filter((name) => name !== 'vault');
  const temps = readdirSync(join(place.data, 'sessions')).filter((name) => name.endsWith('.tmp'));
  const kept = readdirSync(place.data).filter((name) => name === 'quarantine' || name.endsWith('.tmp'));
  return [...locks, ...temps, ...kept];
}
