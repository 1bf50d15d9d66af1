import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname, isAbsolute, join, relative, sep } from 'node:path';
import { type ManualChunkMeta, type OutputChunk, type Plugin, rollup } from 'rollup';

/**
 * Small modules that are imported from everywhere: in a later file, each importer would have to
 * load all of that file.
 */
const SHARED: readonly string[] = [
  'cli/command',
  'terminal/output/rows',
  'terminal/input/slash-line',
  'chat/models/providers',
  'session/list/select',
  'session/state',
  'session/event/name',
  'session/change/fork',
  'session/event/attachment',
  'terminal/output/amounts',
  'terminal/notices',
];

/**
 * The files that a start loads, in this order: each has the modules named here and all that they import statically, except those that
 * an earlier file has. A module in a file of its own costs a quarter of a millisecond at every start, and coffer sessions needs eighty
 * modules. Modules in none of these files are loaded late, from other files. `name()` stands for what a module imports dynamically.
 */
const FILES: Readonly<Record<string, readonly string[]>> = {
  // Loaded before the compile cache is switched on; all that --version needs.
  terminal: ['terminal/output/terminal', 'cli/descriptors', 'errors'],
  // Every command needs these until it asks for the key; the list adds little to them.
  start: [
    ...[
      'cli/run',
      'cli/signals',
      'settings/settings',
      'cli/shell',
      'cli/commands/list/sessions',
      'session/project/project',
    ],
    ...['vault/keys/anticipate', 'keyring/broker/early', ...SHARED],
  ],
  // Loaded while waiting for the keychain.
  vault: ['terminal/input/input', 'session/open-vault', 'vault/network-warning'],
  chat: ['cli/commands/chat/chat', 'chat/models/models', 'live/host/elsewhere'],
  program: ['cli/program', 'cli/commands/chat/coffer'],
  // What the table of commands imports late: help and completion, which need all of it, take a fifth longer with a file for each.
  commands: ['cli/commands()'],
};

/**
 * Bundles the program and its keychain broker, compiled in `from`, into the folder `to`. Packages
 * stay external, so that users of coffer get their updates. Throws on the first warning.
 */
export function bundle(from: string, to: string): Promise<void> {
  return write({ from, extension: '.js', to });
}

/**
 * Writes the same files from the sources under `from`, types blanked out, with source maps: for
 * tests, which start the program thousands of times. A start takes a quarter of the time it takes
 * from the sources.
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
    input: {
      main: join(from, `src/cli/main${extension}`),
      broker: join(from, `src/keyring/broker/broker${extension}`),
    },
    external: (id) => !id.startsWith('.') && !isAbsolute(id),
    preserveEntrySignatures: 'allow-extension',
    onLog: (level, { message }) => {
      if (level === 'warn') throw new Error(message);
    },
    plugins: [extension === '.ts' && sources],
  });
  const { output } = await build.write({
    dir: to,
    // The files don't name their source maps: Node would copy the maps into every coverage report.
    sourcemap: extension === '.ts' && 'hidden',
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    generatedCode: 'es2015',
    // Keeps the sources' names in stack traces.
    minifyInternalExports: false,
    hoistTransitiveImports: false,
    manualChunks: fileOf(from),
  });
  await build.close();
  checkEntries(output.filter((file) => file.type === 'chunk'));
}

/** Blanks types out as Node does, which keeps every position in the file. */
const sources: Plugin = { name: 'sources', load: (id) => stripTypeScriptTypes(readFileSync(id, 'utf8')) };

/** Returns a function that finds the file of {@link FILES} that a module belongs to. */
function fileOf(from: string): (id: string, meta: ManualChunkMeta) => string | undefined {
  let files: Map<string, string> | undefined;
  return (id, meta) => {
    files ??= assign(from, meta);
    return files.get(id);
  };
}

/** Assigns each module to its file. Throws if a name in {@link FILES} matches no module. */
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
      const [id] = [...names].find(([, name]) => name === root.replace(/\(\)$/, '')) ?? [];
      if (id === undefined) throw new Error(`no module ${root}, which FILES puts into ${file}`);
      const ids = root.endsWith('()') ? (getModuleInfo(id)?.dynamicallyImportedIds ?? []) : [id];
      for (const each of ids) take(each, file);
    }
  }
  return files;
}

/** `cli/main` for `<from>/src/cli/main.js` or `main.ts`. */
function nameOf(from: string, id: string): string {
  return relative(join(from, 'src'), id).slice(0, -extname(id).length).replaceAll(sep, '/');
}

/**
 * Throws unless each entry file has only its own module and nothing imports it. An old Node must be
 * able to read the main file, and that file awaits what it imports dynamically: a file that
 * imported it in turn would wait forever. The broker runs in its own process.
 */
function checkEntries(chunks: readonly OutputChunk[]): void {
  const entries = chunks.filter((chunk) => chunk.isEntry);
  for (const { fileName, moduleIds } of entries) {
    const importers = chunks.filter(({ imports, dynamicImports }) =>
      [...imports, ...dynamicImports].includes(fileName),
    );
    if (moduleIds.length !== 1 || importers.length > 0)
      throw new Error(`${fileName} must have only its own module, and nothing may import it`);
  }
}
