import type { Command } from '../../command.ts';
import { rotateCommand } from './rotate.ts';
import { addPassphraseCommand, listSlotsCommand, recoveryCodeCommand, removeSlotCommand } from './slots.ts';
import { repairCommand, trustCommand } from './trust.ts';

/** `coffer key` */
export const keyCommand: Command = {
  name: 'key',
  description: 'the ways in to the vault besides the keychain',
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
