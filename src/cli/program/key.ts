import { type Describe, example } from './describe.ts';

/** Adds `coffer key`, what it does, and `coffer purge` to the command line. */
export const describeKey: Describe = (program, { shell, onTold }) => {
  const key = program.command('key').description('the ways in to the vault besides the keychain');
  example(key, 'coffer key list', 'coffer key recovery-code');
  const code = key
    .command('recovery-code')
    .description('make a code to write down, which opens the vault on any machine')
    .action(async () => {
      const { makeRecoveryCode } = await import('../commands/key/slots.ts');
      await makeRecoveryCode(shell());
    });
  example(code, 'coffer key recovery-code');
  const add = key
    .command('add-passphrase')
    .description('add a passphrase: asked for, or the first line of standard input')
    .action(async () => {
      const { addPassphrase } = await import('../commands/key/slots.ts');
      await addPassphrase(shell());
    });
  example(add, 'coffer key add-passphrase');
  const list = key
    .command('list')
    .description('show where the key is and what else opens the vault')
    .option('--json', 'as a JSON object')
    .action(async (options: { json?: boolean }) => {
      const { listSlots } = await import('../commands/key/slots.ts');
      await listSlots(shell(), options);
    });
  example(list, 'coffer key list');
  const remove = key
    .command('remove')
    .description('remove a passphrase or a recovery code, but never the last way in')
    .argument('<slot>', 'as coffer key list shows it')
    .action(async (slot: string) => {
      const { removeSlot } = await import('../commands/key/slots.ts');
      await removeSlot(shell(), slot);
    });
  example(remove, 'coffer key remove 3f2a91c0');
  const rotate = key
    .command('rotate')
    .description('give the vault a new key and seal everything with it')
    .option('--drop-slots', 'without a terminal to ask on, let slots fall away')
    .action(async (options: { dropSlots?: boolean }) => {
      const { rotateKey } = await import('../commands/key/rotate.ts');
      onTold(await rotateKey(shell(), options));
    });
  example(rotate, 'coffer key rotate');
  const repair = key
    .command('repair')
    .description('write a new vault.json, where the one there is gone or not as coffer wrote it')
    .action(async () => {
      const { repairRecord } = await import('../commands/key/trust.ts');
      onTold(await repairRecord(shell()));
    });
  example(repair, 'coffer key repair');
  const trust = key
    .command('trust')
    .description('accept another key for this data directory, or that others can write to it')
    .option('--yes', 'without asking')
    .action(async (options: { yes?: boolean }) => {
      const { trustDirectory } = await import('../commands/key/trust.ts');
      await trustDirectory(shell(), { yes: options.yes ?? shell().options.yes });
    });
  example(trust, 'coffer key trust', 'coffer --data-dir /mnt/volume/coffer key trust --yes');
  const purge = program
    .command('purge')
    .description("delete sessions or snapshots and rotate the key, so that what they left can't be read")
    .argument('<which...>')
    .option('--yes', 'without asking')
    .option('--drop-slots', 'without a terminal to ask on, let slots fall away')
    .action(async (wanted: string[], options: { yes?: boolean; dropSlots?: boolean }) => {
      const { purge } = await import('../commands/key/purge.ts');
      onTold(await purge(shell(), wanted, { ...options, yes: options.yes ?? shell().options.yes }));
    });
  example(purge, 'coffer purge 3', 'coffer purge draft old-plans --yes');
};
