import { execSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** The built program. */
export const program: string = join(root, 'dist/src/cli/main.js');

/** Builds dist where it is missing or a source is newer, and says what there is. */
export function ensureBuild(): string {
  const built = changed(program);
  const sources = globSync(['src/**/*.ts', 'native-fallback/**/*.ts', 'tsconfig*.json', 'tools/{build,bundle}.ts'], {
    cwd: root,
  });
  const newest = Math.max(...sources.map((path) => changed(join(root, path))));
  if (built > newest) return `dist as built at ${new Date(built).toISOString()}, newer than every source`;
  execSync('npm run build', { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  return `dist, built for this run because it was ${built === 0 ? 'missing' : 'older than a source'}`;
}

/** When a file was changed last, in milliseconds since 1970; 0 where there is none. */
function changed(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
