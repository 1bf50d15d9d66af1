import { tryOnly } from './format-record.ts';

/*
 * Attacks vault.json in a process in which one of coffer's modules is replaced by a wrong one.
 * Arguments: the folder and the attacks to run.
 */

const [, , folder = '', only = ''] = process.argv;
process.stdout.write(JSON.stringify(await tryOnly(folder, only)));
