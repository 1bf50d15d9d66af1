import { Option } from 'commander';
import type { ExportOptions } from '../commands/export/export.ts';
import { type Describe, example } from './describe.ts';

/** Takes sessions out of the vault and into it. */
export const describePrivacy: Describe = (program, { shell }) => {
  const write = program
    .command('export')
    .description('write a session in the clear')
    .argument('<which>', 'a number of the list, an id, a name, last')
    .addOption(
      new Option('--format <format>', 'how; else as the name of the file says').choices(['markdown', 'json', 'jsonl']),
    )
    .option('-o, --output <file>', 'to a file only you can read, instead of stdout')
    .option('--redact', 'without what looks like a key or a token')
    .option('--force', 'replace a file that is there')
    .action(async (which: string, options: ExportOptions) => {
      const { exportSession } = await import('../commands/export/export.ts');
      await exportSession(shell(), which, options);
    });
  example(
    write,
    'coffer export last --output conversation.md',
    'coffer export 2 --format jsonl --redact > shared.jsonl',
  );
  const read = program
    .command('import')
    .description('bring a session back that was exported as JSONL, as a new one')
    .argument('<file>', 'as coffer export --format jsonl writes it; - for stdin')
    .option('--json', 'as a JSON object')
    .action(async (file: string, options: { json?: boolean }) => {
      const { importSession } = await import('../commands/export/import.ts');
      await importSession(shell(), file, options);
    });
  example(read, 'coffer import conversation.jsonl', 'ssh host coffer export last --format jsonl | coffer import -');
};
