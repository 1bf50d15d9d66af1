import { z } from 'zod';
import { CofferError } from '../../errors.ts';
import { locate, ruleFor } from './place.ts';
import { defineTool, pathInput, type Tool } from './tool.ts';
import { walk } from './walk.ts';

/** Lists what is in a directory. */
export const listFiles: Tool = defineTool({
  name: 'list_files',
  description:
    'Lists a directory, the working directory unless told, one name per line: directories end in a slash, symbolic links in @. With recursive also what is in the directories below, but for .git and node_modules.',
  input: z.strictObject({ path: pathInput.optional(), recursive: z.boolean().optional() }),
  async plan({ path = '.', recursive = false }, place) {
    const spot = await locate(path, place);
    if (!spot.found?.isDirectory()) throw new CofferError('FAILED', `there is no directory ${spot.shown}`);
    return {
      rule: ruleFor('read', spot),
      path: spot.path,
      about: `list ${spot.shown}${recursive ? ' and all below' : ''}`,
      async run(signal) {
        const lines: string[] = [];
        let size = 0;
        for await (const { path: at, kind } of walk({ ...spot, shown: '.' }, place, { deep: recursive }, signal)) {
          const line = `${at.slice(spot.path.length).replace(/^[/\\]/, '')}${MARKS[kind]}\n`;
          size += Buffer.byteLength(line);
          if (size > place.maxToolOutput) return { text: `${lines.join('')}[there is more]\n`, failed: false };
          lines.push(line);
        }
        return { text: lines.join('') || '[the directory is empty]\n', failed: false };
      },
    };
  },
});

const MARKS = { file: '', directory: '/', link: '@', other: '=' } as const;
