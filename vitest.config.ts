import { join } from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: join(import.meta.dirname, 'test/support/program.ts'),
    setupFiles: [join(import.meta.dirname, 'test/support/own-config.ts')],
    pool: 'forks',
    // Two for each core of a small machine: many tests wait, for a keychain, a deadline or a process.
    maxWorkers: 4,
    // Catches tests that hang; a busy machine must not fail them, and the programs that tests start
    // have a shorter limit of their own.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    reporters: ['default', join(import.meta.dirname, 'tools/counts-reporter.ts')],
    coverage: {
      provider: 'custom',
      customProviderModule: './tools/coverage.ts',
      include: ['src/**/*.ts', 'native-fallback/**/*.ts'],
      reporter: ['text'],
      reportOnFailure: true,
      thresholds: {
        lines: 90,
        'src/envelope/**': { lines: 100, branches: 100 },
        'src/keyring/{keyring,outcomes}.ts': { lines: 100, branches: 100 },
      },
    },
  },
});

export default config;
