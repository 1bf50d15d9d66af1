import { z } from 'zod';
import { locate, planAt } from '../access/place.ts';
import { defineTool, pathInput, type Tool } from '../tool.ts';
import { planChange, present } from './change.ts';

/** Creates or replaces a file. */
export const writeFile: Tool = defineTool({
  name: 'write_file',
  description:
    'Creates a text file or replaces the whole contents of an existing one. Creates missing parent directories. To change part of a file use edit_file.',
  input: z.strictObject({ path: pathInput, content: z.string() }),
  async plan({ path, content }, place) {
    const spot = await locate(path, place);
    return await planAt({ kind: 'write', spot, about: `write ${spot.shown}` }, place, async () =>
      planChange(spot, await present(spot, place), content, place),
    );
  },
});
