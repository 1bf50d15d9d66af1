import { z } from 'zod';
import { CofferError } from '../../../errors.ts';
import { locate, planAt, type Spot } from '../access/place.ts';
import { defineTool, pathInput, type Tool, type ToolScope } from '../tool.ts';
import { stopped, walk } from './walk.ts';

/** Lists the files in a directory. */
export const listFiles: Tool = defineTool({
  name: 'list_files',
  description:
    'Lists a directory (default: the working directory), one name per line. Directories end in /, symbolic links in @. Set recursive to true to list subdirectories too; the contents of .git and node_modules are skipped.',
  input: z.strictObject({ path: pathInput.optional(), recursive: z.boolean().optional() }),
  async plan({ path = '.', recursive = false }, place) {
    const spot = await locate(path, place);
    const about = `list ${spot.shown}${recursive ? ' recursively' : ''}`;
    return await planAt({ kind: 'read', spot, about }, place, async () => {
      if (!spot.found?.isDirectory()) throw new CofferError('FAILED', `there is no directory ${spot.shown}`);
      return { run: async (signal) => ({ text: await list(spot, place, recursive, signal), failed: false }) };
    });
  },
});

async function list(spot: Spot, place: ToolScope, deep: boolean, signal: AbortSignal): Promise<string> {
  const late = performance.now() + place.commandTimeout;
  const lines: string[] = [];
  let size = 0;
  for await (const { shown, kind } of walk({ ...spot, shown: '.' }, place, { deep }, signal)) {
    if (performance.now() >= late) return `${lines.join('')}${stopped(place)}`;
    const line = `${shown}${MARKS[kind]}\n`;
    size += Buffer.byteLength(line);
    if (size > place.maxToolOutput) return `${lines.join('')}[there is more]\n`;
    lines.push(line);
  }
  return lines.join('') || '[the directory is empty]\n';
}

const MARKS = { file: '', directory: '/', link: '@', other: '=' } as const;
