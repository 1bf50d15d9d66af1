import { Option } from 'commander';
import { type Describe, example } from './describe.ts';

/** Takes sessions out of the vault and into it. */
export const describePrivacy: Describe = (program, { shell }) => {
  const write = program
    .command('export')
    .description('write a session in the clear')
    .argument('<which>')
    .addOption(new Option('--format <format>', 'how').choices(['markdown', 'json']).default('markdown'))
    .option('-o, --output <file>', 'to a new file instead of stdout')
    .action(async (which: string, options: { format: 'markdown' | 'json'; output?: string }) => {
      const { exportSession } = await import('../commands/export.ts');
      await exportSession(shell(), which, options);
    });
  example(write, 'coffer export last --output conversation.md');
};
