import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/* Vaults that this process opens are known in a place of its own, and not in the settings of whoever runs it. */

const folder = mkdtempSync(join(tmpdir(), 'coffer-config-'));
process.env['XDG_CONFIG_HOME'] = folder;
afterAll(() => rmSync(folder, { recursive: true, force: true }));
