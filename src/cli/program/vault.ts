import { type Describe, example } from './describe.ts';

/** Looks after the vault itself. */
export const describeVault: Describe = (program, { shell, onTold }) => {
  const doctor = program
    .command('doctor')
    .description('show how the vault is and what to do')
    .option('--json', 'as a JSON object')
    .action(async (options: { json?: boolean }) => {
      const { doctor } = await import('../commands/vault/doctor.ts');
      onTold(await doctor(shell(), options));
    });
  example(doctor, 'coffer doctor');
  const salvage = program
    .command('salvage')
    .description('bring back what can be read of a damaged file, as a new session')
    .argument('<file>', 'a row or id of the list, a name in quarantine, a path')
    .action(async (file: string) => {
      const { salvage } = await import('../commands/vault/salvage.ts');
      await salvage(shell(), file);
    });
  example(salvage, 'coffer salvage 3');
  const recover = program
    .command('recover')
    .description('open a vault that was copied here, by a recovery code or a passphrase')
    .action(async () => {
      const { recover } = await import('../commands/vault/recover.ts');
      onTold(await recover(shell()));
    });
  example(recover, 'coffer recover');
};
