import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { requireKeychain, startKeychain } from '../test/support/keychain.ts';
import { loadsOf, packagesIn } from '../test/support/loads.ts';

/**
 * Packs coffer as npm would publish it, installs it in an empty folder and uses it there as a new
 * user would: the program, a chat on standard input, a real keychain if there is one, and an import
 * of the library with its types.
 */
const root = join(import.meta.dirname, '..');
/** The packages that most starts load. */
const LIGHT = ['env-paths', 'is-safe-filename'];
const work = mkdtempSync(join(tmpdir(), 'coffer-pack-'));
const credentials = join(work, 'credentials');
const handedOver = { COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: credentials };
try {
  const home = install(pack());
  printsItsVersion(home);
  chats(home);
  loadsFewFiles(home);
  await asksTheKeychain(home);
  importsWithTypes(home);
  process.stdout.write('pack:check: the packed coffer installs, chats and type-checks\n');
} finally {
  rmSync(work, { recursive: true, force: true });
}

function pack(): string {
  npm(['pack', '--pack-destination', work], root);
  const name = readdirSync(work).find((file) => file.endsWith('.tgz'));
  if (name === undefined) throw new Error('npm pack wrote no package');
  return join(work, name);
}

function install(tarball: string): string {
  const home = join(work, 'stranger');
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{ "name": "stranger", "private": true, "type": "module" }\n');
  npm(['install', '--no-audit', '--no-fund', tarball], home);
  return home;
}

function printsItsVersion(home: string): void {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  expectIn(coffer(home, ['--version']).stdout, version);
}

/** Chats with a key from a credential folder, then lists the saved sessions in a second process. */
function chats(home: string): void {
  mkdirSync(credentials);
  writeFileSync(join(credentials, 'coffer-key'), randomBytes(32));
  expectIn(coffer(home, ['--model', 'demo/echo'], handedOver, 'packed and sealed\n').stdout, 'echo: packed and sealed');
  expectIn(coffer(home, ['sessions'], handedOver).stdout, '_autosave');
}

/**
 * Checks which files a start loads: fewer files make a faster start. The lists name all of coffer's
 * files, none of which belongs to the library (that would be a second copy in one process), and the
 * packages that find the vault.
 */
function loadsFewFiles(home: string): void {
  const list = ['main', 'terminal', 'start', 'vault'];
  const wanted = [
    { args: ['--version'], files: ['main', 'terminal'], packages: [] },
    { args: ['sessions'], files: list, packages: LIGHT },
    { args: ['--model', 'demo/echo'], files: [...list, 'chat'], packages: LIGHT },
    { args: ['sessions', '--all'], files: [...list, 'program'], packages: ['commander', ...LIGHT] },
  ];
  for (const { args, files, packages } of wanted) {
    const { loaded } = loadsOf(programIn(home), args, { cwd: home, env: { ...quiet(), ...handedOver } });
    const own = loaded.flatMap((url) => /\/node_modules\/coffer\/(.*)$/.exec(url)?.[1] ?? []);
    const others = packagesIn(loaded).filter((name) => name !== 'coffer');
    const expected = files.map((file) => `dist/src/cli/${file}.js`);
    expectSame(`the files of coffer ${args.join(' ')}`, own.sort(), expected.sort());
    expectSame(`the packages of coffer ${args.join(' ')}`, others, packages);
  }
  // Help describes every command without loading the code for vaults and chats.
  const { loaded } = loadsOf(programIn(home), ['--help'], { cwd: home, env: { ...quiet(), ...handedOver } });
  const heavy = loaded.filter((url) => /\/(vault|chat)\.js$/.test(url));
  expectSame('the heavy files of coffer --help', heavy, []);
}

/**
 * Stores the key through the addon, in its separate process, and reads it with and without the
 * addon.
 */
async function asksTheKeychain(home: string): Promise<void> {
  if (!hasKeychain()) return;
  await using keychain = await startKeychain();
  const env = { ...keychain.env, COFFER_DATA_DIR: join(work, 'keychain'), COFFER_KEYCHAIN: 'keytar' };
  expectIn(coffer(home, ['--model', 'demo/echo'], env, 'packed and kept\n').stdout, 'echo: packed and kept');
  expectIn(coffer(home, ['sessions'], env).stdout, '_autosave');
  expectIn(coffer(home, ['sessions'], { ...env, COFFER_KEYCHAIN: 'secret-service' }).stdout, '_autosave');
}

/** Returns whether there is a keychain; prints the reason if not. */
function hasKeychain(): boolean {
  class Missing extends Error {}
  try {
    requireKeychain({
      skip(note = 'no keychain'): never {
        throw new Missing(note);
      },
    });
    return true;
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    process.stdout.write(`--- keychain skipped: ${error.message}\n`);
    return false;
  }
}

function importsWithTypes(home: string): void {
  const file = join(home, 'use.ts');
  const lines = [
    "import { isCofferError, MemoryKeyring, openVault, type Sessions } from 'coffer';",
    '',
    'const directory = process.argv[2] as string;',
    'const sessions: Sessions = await openVault({ directory, keyring: new MemoryKeyring() });',
    'await sessions.close();',
    'if (isCofferError(new Error())) throw new TypeError("an Error is not a CofferError");',
    'process.stdout.write("opened " + sessions.directory + "\\n");',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const settings = {
    compilerOptions: {
      module: 'nodenext',
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    },
    files: ['use.ts'],
  };
  writeFileSync(join(home, 'tsconfig.json'), JSON.stringify(settings));
  run('tsc', [join(root, 'node_modules/typescript/bin/tsc'), '-p', home]);
  expectIn(run('import', [file, join(work, 'library')], { cwd: home, env: quiet() }).stdout, 'opened ');
}

/**
 * Runs the installed program: by its name on PATH, or by its file on Windows, where there are no
 * links for it.
 */
function coffer(home: string, args: string[], env: NodeJS.ProcessEnv = {}, input = ''): { stdout: string } {
  const options = { cwd: home, env: { ...quiet(), ...env }, input };
  if (process.platform === 'win32') {
    return run('coffer', [programIn(home), ...args], options);
  }
  const path = [join(home, 'node_modules/.bin'), join(process.execPath, '..'), process.env['PATH']].join(delimiter);
  return run('coffer', args, { ...options, env: { ...options.env, PATH: path } }, 'coffer');
}

function programIn(home: string): string {
  return join(home, 'node_modules/coffer/dist/src/cli/main.js');
}

/** Returns an environment that keeps coffer away from this machine's own vault and settings. */
function quiet(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    COFFER_DATA_DIR: join(work, 'data'),
    COFFER_CONFIG_DIR: join(work, 'config'),
    COFFER_KEYCHAIN: 'memory',
  };
}

function npm(args: string[], cwd: string): void {
  const cli = process.env['npm_execpath'];
  if (cli === undefined)
    throw new Error('run this as `npm run pack:check`, which sets npm_execpath to the path of npm');
  run(`npm ${args[0]}`, [cli, ...args], { cwd });
}

interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  input?: string;
}

function run(name: string, args: string[], options: RunOptions = {}, file = process.execPath): { stdout: string } {
  const done = spawnSync(file, args, { cwd: root, encoding: 'utf8', timeout: 300_000, ...options });
  if (done.error !== undefined) throw new Error(`${name} did not run`, { cause: done.error });
  process.stdout.write(`--- ${name}\n${done.stdout}`);
  process.stderr.write(done.stderr);
  if (done.status !== 0) throw new Error(`${name} ended with ${done.status ?? done.signal}`);
  return done;
}

function expectSame(what: string, found: readonly string[], wanted: readonly string[]): void {
  if (found.join() === wanted.join()) return;
  throw new Error(`${what}: expected ${wanted.join(', ') || 'none'}, found ${found.join(', ') || 'none'}`);
}

function expectIn(text: string, wanted: string): void {
  if (!text.includes(wanted)) throw new Error(`expected ${JSON.stringify(wanted)} in ${JSON.stringify(text)}`);
}
