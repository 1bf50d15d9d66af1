import { defineConfig, type ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ['default', './tools/counts-reporter.ts'],
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
