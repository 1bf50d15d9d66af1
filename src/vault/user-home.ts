/** The user's home, for the environment of this process. */
export { settleDirectories } from '../files/user-home.ts';
