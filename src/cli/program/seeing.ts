import type { LogsOptions } from '../commands/list/logs.ts';
import { type Describe, example } from './describe.ts';

/** Shows what a session is, what it did, and what all of them took. */
export const describeSeeing: Describe = (program, { shell }) => {
  const status = program
    .command('status')
    .description('show what a session is, what it took, and which process has it')
    .argument('<which>', 'a number of the list, an id, a name, last')
    .option('--json', 'as a JSON object')
    .action(async (which: string, options: { json?: boolean }) => {
      const { showStatus } = await import('../commands/list/status.ts');
      await showStatus(shell(), which, options);
    });
  example(status, 'coffer status last');
  const logs = program
    .command('logs')
    .description('show what a session recorded, a line for each event')
    .argument('<which>', 'a number of the list, an id, a name, last')
    .option('--json', 'each event as JSON in a line of its own')
    .option('-f, --follow', 'go on with what is recorded from now on, by any process')
    .action(async (which: string, options: LogsOptions) => {
      const { showLogs } = await import('../commands/list/logs.ts');
      await showLogs(shell(), which, options);
    });
  example(logs, 'coffer logs 1 --follow', 'coffer logs fixing-auth-bug --json');
  const stats = program
    .command('stats')
    .description('show what all sessions took, by model and by day')
    .option('--days <n>', 'how many days back the days go', '30')
    .option('--json', 'as a JSON object')
    .action(async (options: { json?: boolean; days?: string }) => {
      const { showStats } = await import('../commands/list/stats.ts');
      await showStats(shell(), options);
    });
  example(stats, 'coffer stats --days 7');
};
