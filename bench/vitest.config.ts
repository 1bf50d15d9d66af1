import type { ViteUserConfig } from 'vitest/config';
import base from '../vitest.config.ts';

/**
 * The tests that need this folder's packages: `npm run bench:test` installs them, `npm test`
 * doesn't.
 */
const config: ViteUserConfig = { ...base, test: { ...base.test, include: ['**/*.test.ts'] } };

export default config;
