import type { Command } from 'commander';
import type { Shell } from './shell.ts';

/** Adds `coffer key` and what it does to the command line. */
export function describeKey(program: Command, shell: () => Shell): void {
  const key = program.command('key').description('the ways in to the vault besides the keychain');
  key
    .command('recovery-code')
    .description('make a code to write down, which opens the vault on any machine')
    .action(async () => {
      const { makeRecoveryCode } = await import('./commands/key.ts');
      await makeRecoveryCode(shell());
    });
  key
    .command('add-passphrase')
    .description('add a passphrase: asked for, or the first line of standard input')
    .action(async () => {
      const { addPassphrase } = await import('./commands/key.ts');
      await addPassphrase(shell());
    });
  key
    .command('list')
    .description('show where the key is and what else opens the vault')
    .option('--json', 'as a JSON object')
    .action(async (options: { json?: boolean }) => {
      const { listSlots } = await import('./commands/key.ts');
      await listSlots(shell(), options);
    });
  key
    .command('remove')
    .description('remove a passphrase or a recovery code, but never the last way in')
    .argument('<slot>', 'as coffer key list shows it')
    .action(async (slot: string) => {
      const { removeSlot } = await import('./commands/key.ts');
      await removeSlot(shell(), slot);
    });
}
