/** Taking turns with other processes, for what lies outside a vault: the settings file. */
export { type FileLock, takeLock } from '../files/lock.ts';
