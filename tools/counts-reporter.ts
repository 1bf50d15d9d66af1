import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a test run with the tests that were skipped, by name under the reason each gave, those that failed, with what was said
 * first, and one plain line of what really ran, `N passed, N failed` (`, N skipped` may follow), which it also writes to the file
 * that COFFER_TEST_COUNTS names. A file that did not load, and an error that no test caught, each count as a failure. A log of which
 * only the end is kept tells what failed all the same.
 */
export default class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    const reasons = new Map<string, string[]>();
    const failures = unhandled.map((error) => `failed, in no test: ${firstLine(error)}\n`);
    for (const module of modules) {
      if (module.errors().length > 0) {
        counts.failed += 1;
        failures.push(`failed, ${module.relativeModuleId}: ${firstLine(module.errors()[0])}\n`);
      }
      for (const test of module.children.allTests()) {
        const result = test.result();
        counts[result.state] += 1;
        if (result.state === 'failed') {
          failures.push(`failed, ${module.relativeModuleId}: ${test.fullName}: ${firstLine(result.errors[0])}\n`);
        }
        if (result.state !== 'skipped') continue;
        const reason = result.note ?? 'without a reason';
        reasons.set(reason, [...(reasons.get(reason) ?? []), `${module.relativeModuleId}: ${test.fullName}`]);
      }
    }
    const skipped = counts.skipped + counts.pending;
    const line = `${counts.passed} passed, ${counts.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    const skips = [...reasons].map(
      ([reason, tests]) => `skipped, ${reason}\n${tests.map((test) => `  ${test}\n`).join('')}`,
    );
    process.once('exit', () => process.stdout.write([...skips, failures.join(''), line].filter(Boolean).join('\n')));
    const file = process.env['COFFER_TEST_COUNTS'];
    if (file !== undefined) writeFileSync(file, line);
  }
}

function firstLine(error: unknown): string {
  const { message } = error as { message?: unknown };
  return String(message ?? error).split('\n', 1)[0] ?? '';
}
