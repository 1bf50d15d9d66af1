import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Profiler } from 'node:inspector';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import v8 from '@vitest/coverage-v8';
import convert from 'ast-v8-to-istanbul';
import { type CoverageProvider, type CoverageProviderModule, parseAstAsync, type Vitest } from 'vitest/node';

/**
 * The parts of Istanbul's coverage of one file that are used here: where each statement and
 * function begins, and how often it ran.
 */
interface FileCoverage {
  path: string;
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
 * vitest's v8 coverage plus the coverage of processes that tests start: coffer itself, with or
 * without a terminal, and the keychain's broker. vitest's own `autoAttachSubprocess` confuses the
 * two: it reads a child's offsets as offsets in the code that vitest transformed, but a child runs
 * the program of test/support/program.ts, or an untransformed file with its types blanked out.
 * Children count for lines, statements and functions; a branch counts as taken only in the test's
 * own process. A process that a signal ends leaves no report, so the figures are a lower bound.
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
      // For workers to pass on: a worker that found the variable in its environment at its start
      // would write a report about itself as well.
      for (const { config } of vitest.projects) config.env = { ...config.env, NODE_V8_COVERAGE: reports };
    };
    provider.generateCoverage = async (context) => {
      const map = (await generateCoverage.call(provider, context)) as CoverageMap;
      const covered = new Set(map.files());
      for (const [url, scripts] of readScripts(reports)) {
        const read = url.startsWith('file:') ? await readProgram(fileURLToPath(url), covered) : undefined;
        if (read === undefined) continue;
        for (const script of scripts) {
          for (const child of Object.values(await convert({ ...read, coverage: script })) as FileCoverage[]) {
            if (covered.has(child.path)) add(child, map.fileCoverageFor(child.path).data);
          }
        }
      }
      return map;
    };
    return provider;
  },
};

export default coverage;

/**
 * Reads the file that a child ran: a source, or a file of the program that tests start, with its
 * source map. Returns undefined for code that isn't ours.
 */
async function readProgram(path: string, covered: ReadonlySet<string>): Promise<Program | undefined> {
  if (covered.has(path)) {
    const code = stripTypeScriptTypes(readFileSync(path, 'utf8'));
    return { code, ast: parseAstAsync(code) };
  }
  if (!existsSync(`${path}.map`)) return undefined;
  const code = readFileSync(path, 'utf8');
  return { code, ast: parseAstAsync(code), sourceMap: JSON.parse(readFileSync(`${path}.map`, 'utf8')) };
}

type Program = Pick<Parameters<typeof convert>[0], 'code' | 'ast' | 'sourceMap'>;

/**
 * Reads the children's reports, by the URL of the file they ran. For each function, every distinct
 * set of counts ("way") in which some child ran it is kept once; the n-th report of a file has the
 * n-th way of each function, or its last. So there are as many reports as one function has ways,
 * not as many as there were children.
 */
function readScripts(directory: string): Map<string, Profiler.ScriptCoverage[]> {
  const files = new Map<string, Map<string, Set<string>>>();
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const text = readFileSync(join(directory, name), 'utf8');
    // A child that was killed while writing its report leaves a partial one.
    if (!/"timestamp":[\d.]+\}$/.test(text)) continue;
    for (const { url, functions } of (JSON.parse(text) as { result: Profiler.ScriptCoverage[] }).result) {
      const seen = files.get(url) ?? new Map<string, Set<string>>();
      files.set(url, seen);
      for (const one of functions) {
        const whole = one.ranges[0];
        const place = `${whole?.startOffset}-${whole?.endOffset} ${one.functionName}`;
        const way = JSON.stringify(one, (key, value) => (key === 'count' ? Math.min(value, 1) : value));
        seen.set(place, (seen.get(place) ?? new Set()).add(way));
      }
    }
  }
  return new Map([...files].map(([url, seen]) => [url, reportsOf(url, [...seen.values()])]));
}

function reportsOf(url: string, seen: readonly ReadonlySet<string>[]): Profiler.ScriptCoverage[] {
  const functions = seen.map((ways) => [...ways].map((way) => JSON.parse(way) as Profiler.FunctionCoverage));
  const length = Math.max(0, ...functions.map((ways) => ways.length));
  return Array.from({ length }, (_, index) => ({
    url,
    scriptId: '',
    functions: functions.flatMap((ways) => ways[index] ?? ways.at(-1) ?? []),
  }));
}

/** Adds a child's counts by starting line: lines match in both, columns differ. */
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
