import { type Describe, example } from './describe.ts';

/** Changes what a conversation goes on from. */
export const describeContext: Describe = (program, { shell }) => {
  const compact = program
    .command('compact')
    .description('put a summary in place of older messages, for the model alone; the record keeps all')
    .argument('<which>')
    .action(async (which: string) => {
      const { compactSession } = await import('../commands/session/compact.ts');
      await compactSession(shell(), which);
    });
  example(compact, 'coffer compact last', 'coffer compact 2 --model ollama/qwen3');
  const fork = program
    .command('fork')
    .description('begin a session that goes on from the first prompts of another, all of them unless told')
    .argument('<which>')
    .argument('[prompts]', 'how many of its prompts the fork has')
    .option('--accept-older', 'from an older copy that was put back')
    .option('--json', 'as a JSON object')
    .action(async (which: string, prompts: string | undefined, options: { json?: boolean; acceptOlder?: boolean }) => {
      const { forkSession } = await import('../commands/session/fork.ts');
      await forkSession(shell(), which, prompts, options);
    });
  example(fork, 'coffer fork last', 'coffer fork fixing-auth-bug 3');
  const rewind = program
    .command('rewind')
    .description('take back what came after a prompt and its answer; it stays in the record')
    .argument('<which>')
    .argument('<prompts>', 'how many prompts the conversation keeps; 0 takes all back')
    .action(async (which: string, prompts: string) => {
      const { rewindSession } = await import('../commands/session/rewind.ts');
      await rewindSession(shell(), which, prompts);
    });
  example(rewind, 'coffer rewind last 3');
  const redact = program
    .command('redact')
    .description('take a text out of a record: asked for, hidden, or what standard input has')
    .argument('<which>')
    .action(async (which: string) => {
      const { redactFromShell } = await import('../commands/session/redact.ts');
      await redactFromShell(shell(), which);
    });
  example(redact, 'coffer redact last', 'coffer redact last < key.pem');
  const permissions = program
    .command('permissions')
    .description('show what tools may do in a session')
    .argument('<which>')
    .option('--json', 'as a JSON object')
    .action(async (which: string, options: { json?: boolean }) => {
      const { showPermissions } = await import('../commands/session/permissions.ts');
      await showPermissions(shell(), which, options);
    });
  example(permissions, 'coffer permissions last');
};
