import { parseCount } from '../../../session/list/filter.ts';
import { type Day, type Stats, usageStats } from '../../../session/list/stats.ts';
import type { Used } from '../../../session/list/usage.ts';
import { describeBytes, describeCost, describeCount, describeTokens } from '../../../terminal/output/amounts.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import { Progress } from '../../../terminal/output/progress.ts';
import { describeSeen } from '../../../terminal/output/rows.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/** Maximum length of a bar, in characters; shorter on a narrow terminal. */
const BAR = 40;

/** `coffer stats` */
export const statsCommand: CommandSpec<[], StatsFlags> = {
  name: 'stats',
  description: 'show token use and cost of all sessions, by model and by day',
  options: [
    { flags: '--days <n>', description: 'how many days to show', default: '30' },
    { flags: '--json', description: 'print a JSON object' },
  ],
  examples: ['coffer stats --days 7'],
  run,
};

/** Options of the statistics. */
export interface StatsFlags {
  readonly json?: boolean;
  readonly days: string;
}

/**
 * Prints the statistics of all sessions in the vault. Throws `USAGE` for an invalid `--days`,
 * `KEY_*`.
 */
async function run(shell: Shell, _: [], options: StatsFlags): Promise<void> {
  const { terminal } = shell;
  const days = parseCount('--days', options.days);
  const { sessions, input } = await openSessions(shell);
  const progress = new Progress(terminal, 'counting');
  try {
    const rows = await sessions.list();
    const { seen } = sessions.upkeep;
    const stats = await usageStats(sessions, rows, {
      days,
      onProgress: (done, total) => progress.show(done, total),
      onUnreadable: (row, { message }) => {
        progress.end();
        terminal.tell(`${row.number} can't be counted: ${message}`);
      },
    });
    progress.end();
    if (options.json === true) terminal.write(`${escapeJson(toJson(stats))}\n`);
    else sayStats(terminal, stats, days);
    for (const line of describeSeen(seen)) terminal.tell(line);
  } finally {
    progress.end();
    input.close();
  }
}

function toJson(stats: Stats): object {
  return {
    ...stats,
    models: stats.models.map(({ model, used }) => ({ model, ...used })),
    days: stats.days.map(({ date, messages, used }) => ({ date, messages, ...used })),
  };
}

function sayStats(terminal: Terminal, stats: Stats, days: number): void {
  const { sessions, snapshots, unreadable, messages, tasks, toolCalls, total, files, bytes } = stats;
  const facts: [string, string][] = [
    ['sessions', describeCount(sessions)],
    ['snapshots', describeCount(snapshots)],
    ['messages', describeCount(messages)],
    ['tasks', describeCount(tasks)],
    ['tool calls', describeCount(toolCalls)],
    ['tokens', describeTokens(total)],
    ['cost', describeCost(total)],
    ['on disk', `${describeBytes(bytes)} in ${files === 1 ? '1 file' : `${describeCount(files)} files`}`],
  ];
  if (unreadable > 0) facts.splice(2, 0, ['unreadable', describeCount(unreadable)]);
  for (const [label, value] of facts) terminal.say(`${label.padEnd(12)}${value}`);
  if (stats.models.length > 0) terminal.say('');
  if (stats.models.length > 0) terminal.say('by model:');
  for (const { model, used } of stats.models) {
    terminal.say(
      `  ${model}: ${used.requests === 1 ? '1 request' : `${describeCount(used.requests)} requests`}, tokens ${describeTokens(used)}, cost ${describeCost(used)}`,
    );
  }
  if (stats.days.length > 0) terminal.say('');
  if (stats.days.length > 0) terminal.say(`messages by day, ${days === 1 ? 'today' : `last ${days} days`}:`);
  for (const line of chart(stats.days, terminal.streams.stdout.columns ?? 80)) terminal.say(line);
}

/**
 * Returns a line for each day: the date, a bar proportional to the busiest day, and the amounts.
 */
function chart(days: readonly Day[], columns: number): string[] {
  const words = days.map(describeDay);
  const most = Math.max(...days.map(({ messages }) => messages), 1);
  const room = columns - 1 - '  2025-07-04    '.length - Math.max(...words.map((text) => text.length), 0);
  const bar = Math.max(3, Math.min(BAR, room));
  return days.map(({ date, messages }, at) => {
    const length = messages === 0 ? 0 : Math.max(1, Math.round((messages / most) * bar));
    return `  ${date}  ${'#'.repeat(length).padEnd(bar)}  ${words[at]}`;
  });
}

function describeDay({ messages, used }: Day): string {
  const { requests, inputTokens, outputTokens, cost } = used;
  const tokens = inputTokens === null && outputTokens === null ? null : (inputTokens ?? 0) + (outputTokens ?? 0);
  const parts = [describeCount(messages)];
  if (requests > 0 && tokens !== null) parts.push(`${describeCount(tokens)} tokens`);
  if (requests > 0 && cost !== null) parts.push(known(used));
  return parts.join(', ');
}

/** Formats a cost briefly, to leave room for the bar; the models have the exact unknowns. */
function known(used: Used): string {
  const cost = describeCost({ ...used, unknownCost: 0 });
  return used.unknownCost > 0 ? `${cost} + unknown` : cost;
}
