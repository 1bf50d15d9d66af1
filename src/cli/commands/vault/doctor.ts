import type { Command } from '../../command.ts';

/** `coffer doctor` */
export const doctorCommand: Command<[], { json?: boolean }> = {
  name: 'doctor',
  description: 'show how the vault is and what to do',
  options: [{ flags: '--json', description: 'as a JSON object' }],
  examples: ['coffer doctor'],
  async run(shell, _, options) {
    const { doctor } = await import('./doctor-run.ts');
    return doctor(shell, options);
  },
};
