/* Where things are, for the program, which does not reach below the vault. */

export { configDirectory } from '../files/paths.ts';
export { settleDirectories } from '../files/user-home.ts';
