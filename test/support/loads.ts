import { spawnSync } from 'node:child_process';

/** Prints the URL of every module as it is loaded, Node's own included. */
const hook = `import { registerHooks } from 'node:module';
import { writeSync } from 'node:fs';
registerHooks({ load(url, context, next) { if (/^(file|node):/.test(url)) writeSync(2, url + '\\n'); return next(url, context); } });`;

/** The output of a run, and the URLs of the modules it loaded, in order. */
export interface Loads {
  readonly stdout: string;
  /** The program's own lines on standard error. */
  readonly said: readonly string[];
  readonly loaded: readonly string[];
}

/** Runs a program to its end, with empty standard input. Throws if it fails. */
export function loadsOf(
  program: string,
  args: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Loads {
  const hooked = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
  const options = { env, cwd, encoding: 'utf8', input: '' } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...hooked, program, ...args], options);
  const lines = stderr.split('\n').filter((line) => line !== '');
  const said = lines.filter((line) => !/^(file|node):/.test(line));
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${said.join('\n')}`);
  return { stdout, said, loaded: lines.filter((line) => !said.includes(line)) };
}

/** Returns the names of the packages among these modules. */
export function packagesIn(urls: readonly string[]): string[] {
  const names = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
  return [...new Set(names)].sort();
}
