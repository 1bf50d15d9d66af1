#!/usr/bin/env node
import type { CofferError, ErrorCode } from '../errors.ts';
import type { Terminal } from '../terminal/output/terminal.ts';

/*
 * The only file that ends the process, and the only one that knows exit codes. An older Node must
 * be able to parse it, to report what is missing, so everything else is imported lazily. It gets
 * node:fs instead of importing it, which saves a tenth of `coffer --version`: an import reads every
 * export of a module, and here that loads its streams.
 */

/** The oldest Node version that has everything coffer needs. */
const OLDEST: readonly [number, number] = [24, 15];

/** The exit code of each error code. */
export const exits: Readonly<Record<ErrorCode, number>> = {
  FAILED: 1,
  MODEL_FAILED: 1,
  TOOLS_UNSUPPORTED: 1,
  FILES_UNSUPPORTED: 1,
  CONTEXT_TOO_LONG: 1,
  MODEL_REFUSED: 1,
  MODEL_LIMITED: 1,
  MODEL_UNREACHABLE: 1,
  LIMIT_REACHED: 1,
  TOO_LARGE: 1,
  IMPORT_INVALID: 1,
  CANCELLED: 1,
  NO_ASK: 1,
  NOTHING_RUNS: 1,
  QUEUE_FULL: 1,
  USAGE: 2,
  SETTINGS_INVALID: 2,
  NAME_INVALID: 2,
  MODEL_UNKNOWN: 2,
  MODEL_KEY_MISSING: 2,
  MODEL_ELSEWHERE: 2,
  INCOGNITO: 2,
  SESSION_NOT_FOUND: 10,
  SESSION_AMBIGUOUS: 10,
  SESSION_IN_USE: 11,
  VAULT_BUSY: 11,
  KEY_NOT_FOUND: 12,
  KEY_LOCKED: 12,
  KEY_DECLINED: 12,
  KEY_ABSENT: 12,
  KEY_TIMEOUT: 12,
  KEY_MISMATCH: 12,
  KEY_OTHER: 12,
  PASSPHRASE_WRONG: 12,
  RECOVERY_CODE_WRONG: 12,
  UNAUTHENTIC: 13,
  ROLLED_BACK: 13,
  NEWER_VERSION: 14,
  NOT_SAVED: 15,
  DURABILITY_UNKNOWN: 15,
};

if (import.meta.main !== false) await main();

async function main(): Promise<void> {
  if (isTooOld(process.versions.node)) {
    process.stderr.write(`coffer: needs Node ${OLDEST.join('.')} or newer, but this is ${process.versions.node}\n`);
    process.exit(1);
  }
  const refusal = await restartTraceless();
  const [{ Terminal }, { CofferError, isCofferError }] = await Promise.all([
    import('../terminal/output/terminal.ts'),
    import('../errors.ts'),
  ]);
  const terminal = new Terminal();
  const gone = (cause: unknown): CofferError =>
    new CofferError('USAGE', 'the current directory no longer exists', { advice: 'change to another one', cause });
  const ending: Ending = { terminal, isCofferError, gone, refusal };
  process.on('uncaughtException', (error) => process.exit(fail(ending, error)));
  process.exit(await run(ending));
}

/** Everything needed to exit with an error, imported lazily. */
interface Ending {
  readonly terminal: Terminal;
  readonly isCofferError: (error: unknown) => error is CofferError;
  /** Returns the error of a command that needs the current directory if that was removed. */
  readonly gone: (cause: unknown) => CofferError;
  /** The reason the command can't run, if any. */
  readonly refusal: CofferError | undefined;
}

/** Runs the command. Every error ends here, as one line and an exit code. */
async function run(ending: Ending): Promise<number> {
  try {
    const told = await command(ending);
    await ending.terminal.flush();
    return told === undefined ? 0 : exits[told.code];
  } catch (error) {
    return fail(ending, error);
  }
}

async function command({ terminal, isCofferError, refusal }: Ending): Promise<CofferError | undefined> {
  if (refusal !== undefined) throw refusal;
  const args = process.argv.slice(2);
  const isCompleting = completes(args);
  if (!isCompleting && args.includes('--version')) {
    terminal.say(version());
    return undefined;
  }
  process.umask(0o077);
  await settleDirectories(process.env);
  const { keepDescriptors } = await import('./descriptors.ts');
  keepDescriptors(args, process.env);
  if (!isTraceless(args)) cacheCompiled();
  terminal.json = !isCompleting && args.includes('--json');
  const [{ tameSignals }, program] = await Promise.all([import('./signals.ts'), import('./run.ts')]);
  tameSignals();
  const leave = (code: number): never => process.exit(code);
  const exitOf = (error: unknown): number => (isCofferError(error) ? exits[error.code] : 1);
  return program.runCommandLine(args, { terminal, env: process.env, leave, exitOf });
}

function fail({ terminal, isCofferError, gone }: Ending, thrown: unknown): number {
  const isGone = thrown instanceof Error && 'syscall' in thrown && thrown.syscall === 'uv_cwd';
  const error = isGone ? gone(thrown) : thrown;
  const message = error instanceof Error ? error.message : String(error);
  if (terminal.json && isCofferError(error)) {
    terminal.failJson(error, exits[error.code]);
    return exits[error.code];
  }
  if (process.env['COFFER_DEBUG'] && error instanceof Error)
    for (const line of (error.stack ?? '').split('\n')) terminal.tell(line);
  if (!isCofferError(error)) {
    terminal.fail(`${message}; this is a bug, please report it (COFFER_DEBUG=1 shows where)`);
    return 1;
  }
  terminal.fail(message);
  terminal.tellSaid(error);
  if (error.cause instanceof AggregateError) {
    for (const fault of error.cause.errors) terminal.tell(fault instanceof Error ? fault.message : String(fault));
  }
  return exits[error.code];
}

function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}

/** Whether a shell is completing a line: the options in it aren't meant for this process. */
function completes(args: readonly string[]): boolean {
  return args[0] === 'complete';
}

/**
 * Whether the command must leave no trace, not even of which parts of coffer were loaded, and when.
 */
function isTraceless(args: readonly string[]): boolean {
  return completes(args) || args.includes('--incognito');
}

/**
 * Keeps Node from writing a compile cache for a command that must leave no trace. Returns an error
 * if the command therefore can't run.
 */
async function restartTraceless(): Promise<CofferError | undefined> {
  if (!process.env['NODE_COMPILE_CACHE'] || !isTraceless(process.argv.slice(2))) return undefined;
  return (await import('./without-cache.ts')).restartWithoutCache();
}

/**
 * Makes every user directory in the environment absolute, for child processes too. Loads the module
 * only if one must be fixed.
 */
async function settleDirectories(env: NodeJS.ProcessEnv): Promise<void> {
  const named = Object.keys(env).filter((name) => /^(HOME|XDG_\w+_(HOME|DIR))$/.test(name));
  if (env['HOME'] !== undefined && named.every((name) => env[name]?.startsWith('/'))) return;
  (await import('../files/user-home.ts')).settleDirectories(env);
}

function cacheCompiled(): void {
  const { join } = process.getBuiltinModule('node:path');
  const caches = process.env['XDG_CACHE_HOME'] || join(process.getBuiltinModule('node:os').homedir(), '.cache');
  process.getBuiltinModule('node:module').enableCompileCache(join(caches, 'coffer'));
}

function version(): string {
  const path = process.getBuiltinModule('node:module').findPackageJSON(import.meta.url) ?? '';
  return JSON.parse(process.getBuiltinModule('node:fs').readFileSync(path, 'utf8')).version;
}
