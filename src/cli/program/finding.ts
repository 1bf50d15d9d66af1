import type { Describe } from './describe.ts';
import { example } from './describe.ts';

/** Finds sessions and goes on with them. */
export const describeFinding: Describe = (program, { shell, onTold }) => {
  const list = program
    .command('sessions')
    .description('list saved sessions')
    .option('--json', 'as a JSON array')
    .option('--accept-removed', 'report files that something else removed for the last time')
    .action(async (options: { json?: boolean; acceptRemoved?: boolean }) => {
      const { listSessions } = await import('../commands/sessions.ts');
      await listSessions(shell(), options);
    });
  example(list, 'coffer sessions');
  const resume = program
    .command('resume')
    .description('go on with a session: a number of the list, an id, a name, last')
    .argument('<which>')
    .option('--accept-older', 'go on from an older copy that was put back')
    .action(async (which: string, options: { acceptOlder?: boolean }) => {
      const { chat } = await import('../commands/chat.ts');
      onTold(await chat(shell(), which, options));
    });
  example(resume, 'coffer resume 1', 'coffer resume fixing-auth-bug');
};
