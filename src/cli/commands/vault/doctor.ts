import type { CommandSpec } from '../../command.ts';

/** `coffer doctor` */
export const doctorCommand: CommandSpec<[], { json?: boolean }> = {
  name: 'doctor',
  description: 'check the vault and suggest fixes',
  options: [{ flags: '--json', description: 'print a JSON object' }],
  examples: ['coffer doctor'],
  async run(shell, _, options) {
    const { doctor } = await import('./doctor-run.ts');
    return doctor(shell, options);
  },
};
