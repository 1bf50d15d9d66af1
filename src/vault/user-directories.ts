/** The user's directories, for what lies outside a vault: the settings file, and the environment of this process. */
export { settingsHome, settleDirectories } from '../files/user-directories.ts';
