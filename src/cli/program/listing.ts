import type { ListOptions } from '../commands/list/sessions.ts';
import { type Describe, example } from './describe.ts';

/** Lists sessions, and searches them. */
export const describeListing: Describe = (program, { shell, onTold }) => {
  const list = program
    .command('sessions')
    .description('list saved sessions')
    .option('--limit <n>', 'at most so many; 20 unless told, with --json all')
    .option('--status <status>', 'running, completed, cancelled, failed, interrupted; several with commas between')
    .option('--since-hours <hours>', 'those that went on within so many hours')
    .option('--search <text>', 'those with this text in their messages, with the lines that have it')
    .option('--here', 'those of this directory')
    .option('--all', 'archived ones too, and however many there are')
    .option('--json', 'as a JSON array')
    .option('--accept-removed', 'report files that something else removed for the last time')
    .action(async (options: ListOptions) => {
      const { listSessions } = await import('../commands/list/sessions.ts');
      // The program has an option of that name too, and takes it wherever it stands.
      onTold(await listSessions(shell(), { ...options, here: options.here ?? shell().options.here }));
    });
  example(list, 'coffer sessions --here --since-hours 24', 'coffer sessions --search "token check" --status failed');
};
