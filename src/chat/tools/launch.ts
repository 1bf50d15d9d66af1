/** How a program is started. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly sandboxed: boolean;
  /** What a sandbox reads on descriptor 5. */
  readonly filter?: Buffer | undefined;
}

/**
 * The environment of commands: what programs need to find their way, and nothing that opens something. No keys of providers, no address of a
 * bus, no runtime directory, nothing of coffer's, nothing that makes node load code.
 */
export function commandEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && (KEPT.has(entry[0]) || /^LC_[A-Z]+$/.test(entry[0])),
  );
  return { ...Object.fromEntries(kept), TERM: 'dumb' };
}

/** A command as it runs without a sandbox. */
export function plainLaunch(command: string, directory: string, env: Record<string, string>): Launch {
  const [file = '', ...args] = watched(command);
  return { file, args, directory, env, sandboxed: false };
}

/**
 * The program and arguments that run a command line. The shell's own errors and the command's go where its output goes, in the order in which they
 * come. A watcher in its process group waits for the end of descriptor 3, which coffer holds: however coffer ends, a kill -9 included, the group
 * ends with it. The watcher is not the command's child, so that nothing waits for it.
 */
export function watched(command: string): string[] {
  return ['/bin/sh', '-c', `${WATCHER}; exec /bin/sh -c "$1" 2>&1`, 'sh', command];
}

const WATCHER = `( ( trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 & ); exec 3<&-`;

const KEPT: ReadonlySet<string> = new Set(['PATH', 'HOME', 'LANG', 'TZ', 'USER', 'LOGNAME', 'SHELL', 'TMPDIR']);
