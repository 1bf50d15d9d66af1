import { CofferError, isCofferError } from '../../../errors.ts';
import { keepingCaches } from '../../../session/change/removal.ts';
import {
  clockTrouble,
  type Expired,
  expiredOf,
  isOff,
  type Policy,
  takesAll,
} from '../../../session/change/retention.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Settings } from '../../../settings/settings.ts';
import type { Input } from '../../../terminal/input/input.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import { describeSeen, tellTroubles } from '../../../terminal/output/rows.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { changeVault } from '../../shell.ts';
import { confirmRemoval, describeDoomed } from './removal.ts';

/** `coffer prune` */
export const pruneCommand: CommandSpec<[], PruneOptions> = {
  name: 'prune',
  description: 'delete sessions beyond the settings maxSessions and retentionDays; never named or pinned ones',
  options: [
    { flags: '--dry-run', description: 'only show what would be deleted' },
    { flags: '--yes', description: 'skip the confirmation' },
    { flags: '--max-sessions <n>', description: 'keep the n newest, regardless of the settings' },
    {
      flags: '--older-than <days>',
      description: 'delete sessions inactive for this many days, regardless of the settings',
    },
    { flags: '--json', description: 'print a JSON array' },
  ],
  examples: ['coffer prune --dry-run', 'coffer prune --older-than 90'],
  run,
};

/** Options of a prune. */
export interface PruneOptions {
  readonly dryRun?: boolean | undefined;
  readonly yes?: boolean | undefined;
  readonly json?: boolean | undefined;
  /** Overrides the settings' `maxSessions` and `retentionDays`. */
  readonly maxSessions?: string | undefined;
  readonly olderThan?: string | undefined;
}

/**
 * Deletes what the settings' retention, or the given limits, don't keep, after listing each session
 * with its reason and asking. Throws `USAGE`, `CANCELLED`, `KEY_*`, and what deleting throws.
 */
async function run(shell: Shell, _: [], options: PruneOptions): Promise<void> {
  const { terminal } = shell;
  const given = {
    maxSessions: limitOf(options.maxSessions, '--max-sessions'),
    retentionDays: limitOf(options.olderThan, '--older-than'),
  };
  await changeVault(shell, async ({ sessions, input, settings }) => {
    const policy = isOff(given) ? policyOf(settings) : given;
    if (isOff(policy)) terminal.tell(OFF);
    const rows = await sessions.list();
    tellTroubles(
      terminal,
      rows.filter((row) => row.unreadable !== undefined || row.rolledBack !== undefined),
    );
    for (const line of describeSeen(sessions.upkeep.seen)) terminal.tell(line);
    const expired = findExpired(terminal, rows, policy);
    const deletes = options.dryRun !== true;
    const print = (what: readonly Expired[]): void => {
      if (options.json === true) terminal.write(`${escapeJson(what.map(toJson))}\n`);
    };
    if (!deletes || expired.length === 0) print(expired);
    if (!deletes && options.json !== true)
      for (const one of expired) terminal.say(`would be deleted: ${describeDoomed(one)}`);
    if (expired.length === 0 && !isOff(policy)) terminal.tell('nothing to delete');
    if (!deletes || expired.length === 0) return;
    for (const one of expired) terminal.tell(`will be deleted: ${describeDoomed(one)}`);
    const yes = (options.yes ?? shell.options.yes) === true;
    const instead = 'use --yes to skip the question, or --dry-run to only show them';
    const all = takesAll(rows, policy, Date.now());
    if (all) terminal.tell(ALL);
    // With --yes and limits from the settings the user has not seen this; limits on the command
    // line count as an answer.
    const answered = yes && (!all || !isOff(given));
    const without = all && yes ? 'use --older-than DAYS --yes to delete them anyway' : instead;
    await confirmRemoval({ terminal, input, yes: answered, instead: without }, expired.length);
    // One of them may have been resumed or named while the question was open.
    const still = new Set(expiredOf(await sessions.list(), policy, Date.now()).map(({ row }) => row.fileId));
    const doomed = expired.filter(({ row }) => still.has(row.fileId));
    print(doomed);
    const gone = doomed.map(({ row }) => row);
    await keepingCaches(sessions, gone, async () => {
      for (const row of gone) {
        await sessions.delete(row);
        if (options.json !== true) terminal.say(`deleted ${row.id}`);
      }
    });
  });
}

/**
 * Deletes at a chat's start what the settings' retention doesn't keep, printing each with its
 * reason before. Best effort: what can't be deleted is reported and stays. Does nothing if
 * retention is off, or the key isn't available.
 */
export async function pruneAtStart({ terminal, input, sessions, settings }: Start): Promise<void> {
  const policy = policyOf(settings);
  if (isOff(policy) || sessions.keys.status.state !== 'ready') return;
  const expired = await expiredAtStart(terminal, input, sessions, policy);
  const rows = expired.map(({ row }) => row);
  const deleteEach = async (): Promise<void> => {
    for (const one of expired) {
      terminal.tell(`retention deletes ${describeDoomed(one)}`);
      await attempt(terminal, () => sessions.delete(one.row));
    }
  };
  await attempt(terminal, () => keepingCaches(sessions, rows, deleteEach));
}

/** The parts of a starting chat. */
interface Start {
  readonly terminal: Terminal;
  readonly input: Pick<Input, 'ask'>;
  readonly sessions: Sessions;
  readonly settings: Settings;
}

async function expiredAtStart(
  terminal: Terminal,
  input: Start['input'],
  sessions: Sessions,
  policy: Policy,
): Promise<readonly Expired[]> {
  const found = await attempt(terminal, async () => {
    const rows = await sessions.list();
    const expired = findExpired(terminal, rows, policy);
    return (await mayTake(terminal, input, rows, policy, expired)) ? expired : [];
  });
  return found ?? [];
}

/** Asks before the start of a chat deletes everything but the newest sessions. */
async function mayTake(
  terminal: Terminal,
  input: Start['input'],
  rows: readonly Row[],
  policy: Policy,
  expired: readonly Expired[],
): Promise<boolean> {
  if (!takesAll(rows, policy, Date.now())) return true;
  terminal.tell(ALL);
  if (!terminal.interactive) {
    terminal.tell(
      'nothing was deleted: no terminal to ask on; run coffer prune, or coffer prune --older-than DAYS --yes',
    );
    return false;
  }
  for (const one of expired) terminal.tell(`will be deleted: ${describeDoomed(one)}`);
  const answer = await input.ask(`delete ${expired.length === 1 ? 'it' : `these ${expired.length}`}? [y/N] `);
  return /^y(es)?$/i.test(answer?.trim() ?? '');
}

async function attempt<T>(terminal: Terminal, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isCofferError(error)) throw error;
    terminal.tell(`retention failed: ${error.message}`);
    return undefined;
  }
}

const ALL = 'retention would delete everything but the newest sessions, after a long gap: check the clock';

const OFF =
  'retention is off: nothing was deleted automatically; turn it on with the settings maxSessions and retentionDays, or use --max-sessions or --older-than once';

function policyOf({ maxSessions, retentionDays }: Settings): Policy {
  return { maxSessions, retentionDays };
}

function findExpired(terminal: Terminal, rows: readonly Row[], policy: Policy): Expired[] {
  const now = Date.now();
  const trouble = policy.retentionDays === undefined ? undefined : clockTrouble(rows, now);
  if (trouble !== undefined) terminal.tell(trouble);
  return expiredOf(rows, policy, now);
}

function limitOf(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit >= 1) return limit;
  throw new CofferError('USAGE', `${option} takes a whole number of at least 1, not "${text}"`, {
    advice: 'nothing was deleted',
  });
}

function toJson({ row, reason }: Expired): object {
  const { id, uuid, fileId, kind, title, messages } = row;
  return { id, uuid, fileId, kind, title, messages, updated: new Date(row.updated).toISOString(), reason };
}
