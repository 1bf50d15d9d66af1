import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/*
 * Keeps the vaults that this process opens out of the user's own settings.
 */

const folder = mkdtempSync(join(tmpdir(), 'coffer-config-'));
process.env['XDG_CONFIG_HOME'] = folder;
afterAll(() => rmSync(folder, { recursive: true, force: true }));
