import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

/** Maximum number of slow files to list. */
const SLOWEST = 10;

/**
 * Ends a test run with a summary: the ten slowest files with their seconds; skipped tests, grouped
 * by reason; failed tests with the first line of their error; and one plain line of what really
 * ran, `N passed, N failed` (`, N skipped` may follow). The last line is also written to the file
 * that COFFER_TEST_COUNTS names. A file that didn't load, and an error that no test caught, each
 * count as a failure. Failures come near the end, so that the tail of a log still shows them.
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
    const slowest = modules
      .map((module) => ({ name: module.relativeModuleId, seconds: secondsOf(module) }))
      .sort((one, other) => other.seconds - one.seconds)
      .slice(0, SLOWEST)
      .map(({ name, seconds }) => `  ${seconds.toFixed(1).padStart(7)} s  ${name}\n`);
    const times = slowest.length > 0 ? `slowest files\n${slowest.join('')}` : '';
    const skipped = counts.skipped + counts.pending;
    const line = `${counts.passed} passed, ${counts.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    const skips = [...reasons].map(
      ([reason, tests]) => `skipped, ${reason}\n${tests.map((test) => `  ${test}\n`).join('')}`,
    );
    process.once('exit', () =>
      process.stdout.write([times, ...skips, failures.join(''), line].filter(Boolean).join('\n')),
    );
    const file = process.env['COFFER_TEST_COUNTS'];
    if (file !== undefined) writeFileSync(file, line);
  }
}

/** Returns the seconds that a file took to load and to run. */
function secondsOf(module: TestModule): number {
  const { collectDuration, setupDuration, duration } = module.diagnostic();
  return (collectDuration + setupDuration + duration) / 1000;
}

function firstLine(error: unknown): string {
  const { message } = error as { message?: unknown };
  return String(message ?? error).split('\n', 1)[0] ?? '';
}
