import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { CofferError } from '../../../errors.ts';
import { locate, planAt } from '../access/place.ts';
import { defineTool, pathInput, type Tool } from '../tool.ts';
import { planChange, present } from './change.ts';
import { isBinary } from './read.ts';

/** Replaces a text in a file. */
export const editFile: Tool = defineTool({
  name: 'edit_file',
  description:
    'Replaces old_text with new_text in a text file. old_text must match the file exactly, including white space and line endings, and must occur exactly once. Set replace_all to true to replace every occurrence instead.',
  input: z.strictObject({
    path: pathInput,
    old_text: z.string().min(1),
    new_text: z.string(),
    replace_all: z.boolean().optional(),
  }),
  async plan({ path, old_text: old, new_text: text, replace_all: all = false }, place) {
    const spot = await locate(path, place);
    return await planAt({ kind: 'write', spot, about: `edit ${spot.shown}` }, place, async () => {
      const before = await present(spot, place);
      if (before === undefined) throw new CofferError('FAILED', `there is no file ${spot.shown}`);
      if (isBinary(before) || !isUtf8(before)) {
        throw new CofferError('FAILED', `${spot.shown} is not a text file in UTF-8`);
      }
      const parts = before.toString().split(old);
      const found = parts.length - 1;
      if (found === 0)
        throw new CofferError('FAILED', `old_text does not occur in ${spot.shown}`, { advice: 'read it again' });
      if (found > 1 && !all) {
        const advice = 'include more of the surrounding text, or set replace_all';
        throw new CofferError('FAILED', `old_text occurs ${found} times in ${spot.shown}`, { advice });
      }
      return await planChange(spot, before, parts.join(text), place);
    });
  },
});
