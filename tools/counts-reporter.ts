import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a test run with one plain line of what really ran, `N passed, N failed` (`, N skipped` may follow), and
 * writes the same line to the file that COFFER_TEST_COUNTS names. A file that did not load, and an error that no
 * test caught, each count as a failure.
 */
export default class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const test of module.children.allTests()) counts[test.result().state] += 1;
    }
    const skipped = counts.skipped + counts.pending;
    const line = `${counts.passed} passed, ${counts.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    process.once('exit', () => process.stdout.write(line));
    const file = process.env['COFFER_TEST_COUNTS'];
    if (file !== undefined) writeFileSync(file, line);
  }
}
