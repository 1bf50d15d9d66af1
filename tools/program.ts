import { join } from 'node:path';
import { bundleSources } from './bundle.ts';

/* Writes the program for tests into the folder that is named: `node tools/program.ts FOLDER`. */

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('name the folder to write to');
await bundleSources(join(import.meta.dirname, '..'), folder);
