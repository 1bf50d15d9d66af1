import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname, isAbsolute, join, relative, sep } from 'node:path';
import { type ManualChunkMeta, type OutputChunk, type Plugin, rollup } from 'rollup';

/** Small, and imported from all over: in a later file they would make whoever needs them load all of that. */
const SHARED: readonly string[] = ['cli/rows', 'cli/slash/parse', 'chat/providers', 'session/select', 'session/state'];

/**
 * The files that a start loads, in the order in which it does: each takes the modules named here and all that they import at once,
 * but for those that a file before it has. A module of its own costs a quarter of a millisecond at every start, and coffer sessions
 * needs eighty. What is in none of these is loaded late, from further files.
 */
const FILES: Readonly<Record<string, readonly string[]>> = {
  // Before the compile cache is switched on, and all there is to --version.
  terminal: ['cli/terminal', 'cli/descriptors', 'errors'],
  // What every command shares, up to the question for the key, and the list, which has little of its own.
  start: [
    ...['cli/run', 'cli/signals', 'cli/settings', 'cli/shell', 'cli/commands/sessions', 'session/project'],
    ...['vault/anticipate', 'keyring/early', ...SHARED],
  ],
  // Loaded while the keychain answers.
  vault: ['cli/input', 'session/open-vault', 'vault/network-warning'],
  chat: ['cli/commands/chat', 'chat/models', 'cli/elsewhere'],
  program: ['cli/program', 'cli/program/'],
};

/**
 * Writes the program and the broker of its keychain, compiled to `from`, into the folder `to`. Packages stay outside, so that an
 * update of one reaches who has coffer. Throws at the first thing there is to warn of.
 */
export function bundle(from: string, to: string): Promise<void> {
  return write({ from, extension: '.js', to });
}

/**
 * Writes the same files from the sources under `from`, types blanked out, with source maps: for tests, which start the program
 * thousands of times. A start takes a quarter of the time it takes from the sources.
 */
export function bundleSources(from: string, to: string): Promise<void> {
  return write({ from, extension: '.ts', to });
}

interface Bundle {
  readonly from: string;
  readonly extension: '.js' | '.ts';
  readonly to: string;
}

async function write({ from, extension, to }: Bundle): Promise<void> {
  const build = await rollup({
    input: { main: join(from, `src/cli/main${extension}`), broker: join(from, `src/keyring/broker${extension}`) },
    external: (id) => !id.startsWith('.') && !isAbsolute(id),
    preserveEntrySignatures: 'allow-extension',
    onLog: (level, { message }) => {
      if (level === 'warn') throw new Error(message);
    },
    plugins: [extension === '.ts' && sources, { name: 'builtins', renderChunk: getBuiltins }],
  });
  const { output } = await build.write({
    dir: to,
    // Not named in the files: Node would copy what it names into every report of coverage.
    sourcemap: extension === '.ts' && 'hidden',
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    generatedCode: 'es2015',
    // What a stack trace names is found in the sources.
    minifyInternalExports: false,
    hoistTransitiveImports: false,
    manualChunks: fileOf(from),
  });
  await build.close();
  checkEntries(output.filter((file) => file.type === 'chunk'));
}

/** Blanks types out as Node does, which leaves everything else where it is. */
const sources: Plugin = { name: 'sources', load: (id) => stripTypeScriptTypes(readFileSync(id, 'utf8')) };

/**
 * Gets Node's own modules where the code imports them: the same objects, without the namespace that an import makes of each. For that
 * Node reads all that is in them, and some of it is only loaded when it is read: those that coffer sessions needs take 15 ms to import
 * and 9 to get. Throws where an import looks otherwise than rollup and the compiler write it.
 */
function getBuiltins(code: string): { code: string; map: null } {
  const gotten = code
    .replaceAll(/^import (?:\* as )?([\w$]+) from '(node:[\w/]+)';$/gm, "const $1 = process.getBuiltinModule('$2');")
    .replaceAll(/^import \{ ([\w$, ]+) \} from '(node:[\w/]+)';$/gm, (_, names: string, from: string) => {
      return `const { ${names.replaceAll(' as ', ': ')} } = process.getBuiltinModule('${from}');`;
    })
    .replaceAll(/\bimport\('(node:[\w/]+)'\)/g, "process.getBuiltinModule('$1')");
  const missed = /^.*\b(?:from|import) ?\(?["']node:.*$/m.exec(gotten)?.[0];
  if (missed !== undefined) throw new Error(`an import that is written otherwise: ${missed}`);
  // Lines stay what they are, and so does the source map.
  return { code: gotten, map: null };
}

/** Says which of {@link FILES} a module belongs to. */
function fileOf(from: string): (id: string, meta: ManualChunkMeta) => string | undefined {
  let files: Map<string, string> | undefined;
  return (id, meta) => {
    files ??= assign(from, meta);
    return files.get(id);
  };
}

/** Throws where a name in {@link FILES} means no module. */
function assign(from: string, { getModuleIds, getModuleInfo }: ManualChunkMeta): Map<string, string> {
  const names = new Map([...getModuleIds()].map((id) => [id, nameOf(from, id)]));
  const files = new Map<string, string>();
  const take = (id: string, file: string): void => {
    if (files.has(id) || !names.has(id)) return;
    files.set(id, file);
    for (const imported of getModuleInfo(id)?.importedIds ?? []) take(imported, file);
  };
  for (const [file, roots] of Object.entries(FILES)) {
    for (const root of roots) {
      const ids = [...names].filter(([, name]) => name === root || (root.endsWith('/') && name.startsWith(root)));
      if (ids.length === 0) throw new Error(`${file} is to have ${root}, and there is no such module`);
      for (const [id] of ids) take(id, file);
    }
  }
  return files;
}

/** `cli/main` for `<from>/src/cli/main.js` or `main.ts`. */
function nameOf(from: string, id: string): string {
  return relative(join(from, 'src'), id).slice(0, -extname(id).length).replaceAll(sep, '/');
}

/**
 * An old Node must be able to read the first file, and it waits for what it imports late: whatever imported it in turn would wait for
 * ever. The broker runs by itself. So both have nothing in them but themselves.
 */
function checkEntries(chunks: readonly OutputChunk[]): void {
  const entries = chunks.filter((chunk) => chunk.isEntry);
  for (const { fileName, moduleIds } of entries) {
    const importers = chunks.filter(({ imports, dynamicImports }) =>
      [...imports, ...dynamicImports].includes(fileName),
    );
    if (moduleIds.length !== 1 || importers.length > 0) throw new Error(`${fileName} has to stay by itself`);
  }
}
