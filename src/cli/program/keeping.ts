import type { Command } from 'commander';
import { type Describe, example, type Given } from './describe.ts';

/** Names, marks, deletes and prunes sessions. */
export const describeKeeping: Describe = (program, given) => {
  const { shell } = given;
  const rename = program
    .command('rename')
    .description('give a session another name, of at most 100 characters')
    .argument('<which>')
    .argument('<name...>')
    .action(async (which: string, words: string[]) => {
      const { markings, markSession } = await import('../commands/session/mark.ts');
      await markSession(shell(), which, () => markings.rename(words.join(' ')));
    });
  example(rename, 'coffer rename last fixing the login');
  describeSwitch(program, given, 'pin', 'keep a session from being pruned');
  describeSwitch(program, given, 'unpin', 'let a session be pruned again');
  describeSwitch(program, given, 'archive', 'leave a session out of the list; --all shows it');
  describeSwitch(program, given, 'unarchive', 'show a session in the list again');
  describeTags(program, given, 'tag', 'add tags to a session: lower-case letters, digits, - and _');
  describeTags(program, given, 'untag', 'take tags of a session away');
  const remove = program
    .command('delete')
    .description('delete sessions or snapshots; coffer purge also makes unreadable what stays on the disk')
    .argument('<which...>')
    .option('--yes', 'without asking')
    .action(async (wanted: string[], options: { yes?: boolean }) => {
      const { deleteSessions } = await import('../commands/session/delete.ts');
      await deleteSessions(shell(), wanted, { yes: options.yes ?? shell().options.yes });
    });
  example(remove, 'coffer delete 3', 'coffer delete 2025-07-04_12-30 fixing-auth-bug --yes');
  const prune = program
    .command('prune')
    .description('delete what the settings maxSessions and retentionDays do not keep; never what is named or pinned')
    .option('--dry-run', 'only show it')
    .option('--yes', 'without asking')
    .option('--max-sessions <n>', 'keep the n newest, whatever the settings say')
    .option('--older-than <days>', 'delete what nobody went on with for so many days, whatever the settings say')
    .option('--json', 'as a JSON array')
    .action(
      async (options: {
        dryRun?: boolean;
        yes?: boolean;
        maxSessions?: string;
        olderThan?: string;
        json?: boolean;
      }) => {
        const { prune } = await import('../commands/session/prune.ts');
        await prune(shell(), { ...options, yes: options.yes ?? shell().options.yes });
      },
    );
  example(prune, 'coffer prune --dry-run', 'coffer prune --older-than 90');
};

function describeSwitch(
  program: Command,
  { shell }: Given,
  name: 'pin' | 'unpin' | 'archive' | 'unarchive',
  about: string,
): void {
  const command = program
    .command(name)
    .description(about)
    .argument('<which>')
    .action(async (which: string) => {
      const { markings, markSession } = await import('../commands/session/mark.ts');
      await markSession(shell(), which, markings[name]);
    });
  example(command, `coffer ${name} last`);
}

function describeTags(program: Command, { shell }: Given, name: 'tag' | 'untag', about: string): void {
  const command = program
    .command(name)
    .description(about)
    .argument('<which>')
    .argument('<tags...>')
    .action(async (which: string, tags: string[]) => {
      const { markings, markSession } = await import('../commands/session/mark.ts');
      await markSession(shell(), which, () => markings[name](tags));
    });
  example(command, `coffer ${name} last work auth`);
}
