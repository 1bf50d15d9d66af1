import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/* Vaults that this process opens are known in a place of its own, and not in the settings of whoever runs it. */

const folder = mkdtempSync(join(tmpdir(), 'coffer-config-'));
process.env['XDG_CONFIG_HOME'] = folder;
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
