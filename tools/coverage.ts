import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Profiler } from 'node:inspector';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import v8 from '@vitest/coverage-v8';
import convert from 'ast-v8-to-istanbul';
import { type CoverageProvider, type CoverageProviderModule, parseAstAsync, type Vitest } from 'vitest/node';

/** The parts of Istanbul's coverage of one file that are used here: what begins where, and how often it ran. */
interface FileCoverage {
  statementMap: Record<string, { start: { line: number } }>;
  fnMap: Record<string, { decl: { start: { line: number } } }>;
  s: Record<string, number>;
  f: Record<string, number>;
}

interface CoverageMap {
  files(): string[];
  fileCoverageFor(path: string): { data: FileCoverage };
}

/**
 * vitest's v8 coverage, and that of the processes which tests start: coffer itself, on a terminal or without, and the
 * keychain's broker. vitest's own `autoAttachSubprocess` mixes the two up, as it takes a child's offsets for those of
 * the code that vitest transformed; a child runs the file as it stands, its types blanked out by Node.
 * Children count for lines, statements and functions; a branch counts as taken in a test's own process only. What a
 * signal ends leaves no report behind, so the figures are a lower bound.
 */
const coverage: CoverageProviderModule = {
  ...v8,
  async getProvider(): Promise<CoverageProvider> {
    const provider = await v8.getProvider();
    const { initialize, generateCoverage } = provider;
    let reports = '';
    provider.initialize = async (vitest: Vitest) => {
      await initialize.call(provider, vitest);
      reports = join(vitest.config.root, 'coverage/children');
      // For workers to hand on: one that found it in its environment at its start would report on itself as well.
      for (const { config } of vitest.projects) config.env = { ...config.env, NODE_V8_COVERAGE: reports };
    };
    provider.generateCoverage = async (context) => {
      const map = (await generateCoverage.call(provider, context)) as CoverageMap;
      const scripts = readScripts(reports);
      for (const path of map.files()) {
        const code = stripTypeScriptTypes(readFileSync(path, 'utf8'));
        const ast = parseAstAsync(code);
        for (const script of scripts.get(pathToFileURL(path).href) ?? []) {
          const [child] = Object.values(await convert({ code, ast, coverage: script })) as FileCoverage[];
          if (child !== undefined) add(child, map.fileCoverageFor(path).data);
        }
      }
      return map;
    };
    return provider;
  },
};

export default coverage;

/** Reads what the children left, by the address of the file they ran; children that ran it alike are told once. */
function readScripts(directory: string): Map<string, Profiler.ScriptCoverage[]> {
  const seen = new Map<string, Set<string>>();
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const text = readFileSync(join(directory, name), 'utf8');
    // A child that was killed while it wrote its report leaves a part of it.
    if (!/"timestamp":[\d.]+\}$/.test(text)) continue;
    for (const { url, functions } of (JSON.parse(text) as { result: Profiler.ScriptCoverage[] }).result) {
      const alike = JSON.stringify(functions, (key, value) => (key === 'count' ? Math.min(value, 1) : value));
      seen.set(url, (seen.get(url) ?? new Set()).add(alike));
    }
  }
  return new Map(
    [...seen].map(([url, alike]) => [
      url,
      [...alike].map((functions) => ({ url, scriptId: '', functions: JSON.parse(functions) })),
    ]),
  );
}

/** Adds what a child ran by the line it begins on, which both know alike, while columns differ. */
function add(child: FileCoverage, to: FileCoverage): void {
  const statements = new Set(
    Object.keys(child.s)
      .filter((id) => child.s[id])
      .map((id) => child.statementMap[id]?.start.line),
  );
  for (const id of Object.keys(to.s))
    if (statements.has(to.statementMap[id]?.start.line)) to.s[id] = (to.s[id] ?? 0) + 1;
  const functions = new Set(
    Object.keys(child.f)
      .filter((id) => child.f[id])
      .map((id) => child.fnMap[id]?.decl.start.line),
  );
  for (const id of Object.keys(to.f)) if (functions.has(to.fnMap[id]?.decl.start.line)) to.f[id] = (to.f[id] ?? 0) + 1;
}
