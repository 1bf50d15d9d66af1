import { tryOnly } from './format-record.ts';

/* Attacks vault.json in a process in which one of coffer's modules is replaced by a wrong one: argv has the folder and which attacks. */

const [, , folder = '', only = ''] = process.argv;
process.stdout.write(JSON.stringify(await tryOnly(folder, only)));
