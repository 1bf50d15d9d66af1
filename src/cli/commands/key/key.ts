import type { CommandSpec } from '../../command.ts';
import { rotateCommand } from './rotate.ts';
import { addPassphraseCommand, listSlotsCommand, recoveryCodeCommand, removeSlotCommand } from './slots.ts';
import { repairCommand, trustCommand } from './trust.ts';

/** `coffer key` */
export const keyCommand: CommandSpec = {
  name: 'key',
  description: 'manage the vault key, passphrases and recovery codes',
  examples: ['coffer key list', 'coffer key recovery-code'],
  subcommands: [
    recoveryCodeCommand,
    addPassphraseCommand,
    listSlotsCommand,
    removeSlotCommand,
    rotateCommand,
    repairCommand,
    trustCommand,
  ],
};
