import { execSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** The path of the built program. */
export const program: string = join(root, 'dist/src/cli/main.js');

/** Builds dist if it is missing or older than a source. Returns a description of the build. */
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

/** Returns the time a file was last changed, in milliseconds since 1970; 0 if there is none. */
function changed(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
