/** A program to start, with its arguments and environment. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly sandboxed: boolean;
  /** The system call filter, which the sandbox reads on descriptor 5. */
  readonly filter?: Buffer | undefined;
}

/**
 * Returns the environment of commands: what programs need to find their way around, and nothing
 * that grants access. No provider keys, no bus addresses, no runtime directory, no variables of
 * coffer, nothing that makes node load code.
 */
export function commandEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && (PASSED_ON.has(entry[0]) || /^LC_[A-Z]+$/.test(entry[0])),
  );
  return { ...Object.fromEntries(kept), TERM: 'dumb' };
}

/** Returns how to start a command without a sandbox. */
export function plainLaunch(command: string, directory: string, env: Record<string, string>): Launch {
  const [file = '', ...args] = watched(command);
  return { file, args, directory, env, sandboxed: false };
}

/**
 * Returns the program and arguments that run a command. The shell's and the command's errors go to
 * the same stream as its output, in order. A watcher in its process group waits for the end of
 * descriptor 3, which coffer holds: however coffer ends, even by kill -9, the group is killed with
 * it. The watcher is not a child of the command, so that nothing waits for it.
 */
export function watched(command: string): string[] {
  return ['/bin/sh', '-c', `${WATCHER}; exec /bin/sh -c "$1" 2>&1`, 'sh', command];
}

const WATCHER = `( ( trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 & ); exec 3<&-`;

const PASSED_ON: ReadonlySet<string> = new Set(['PATH', 'HOME', 'LANG', 'TZ', 'USER', 'LOGNAME', 'SHELL', 'TMPDIR']);
