import { readFileSync } from 'node:fs';

/*
 * node tools/counts.ts <file…>: adds up the counts that test runs have written (see
 * counts-reporter.ts), and prints them as one line, `N passed, N failed` (`, N skipped` may
 * follow). Exits with 1 if a test failed, or if a run passed no test.
 */

const NAMES = ['passed', 'failed', 'skipped'] as const;

const runs = process.argv.slice(2).map((file) => {
  const line = readFileSync(file, 'utf8');
  if (!/^\d+ passed, \d+ failed/.test(line)) throw new Error(`${file} has no test counts`);
  return NAMES.map((name) => Number(new RegExp(`(\\d+) ${name}`).exec(line)?.[1] ?? 0));
});
const [passed, failed, skipped] = NAMES.map((_, index) => runs.reduce((sum, counts) => sum + counts[index]!, 0));
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
if (runs.length === 0 || failed || runs.some((counts) => counts[0] === 0)) process.exitCode = 1;
