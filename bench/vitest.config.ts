import type { ViteUserConfig } from 'vitest/config';
import base from '../vitest.config.ts';

/** The tests that need the packages of this folder: `npm run bench:test` installs them, `npm test` does not. */
const config: ViteUserConfig = { ...base, test: { ...base.test, include: ['**/*.test.ts'] } };

export default config;
