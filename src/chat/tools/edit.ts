import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { CofferError } from '../../errors.ts';
import { planChange, present } from './change.ts';
import { locate, planAt } from './place.ts';
import { isBinary } from './read.ts';
import { defineTool, pathInput, type Tool } from './tool.ts';

/** Replaces a text in a file by another. */
export const editFile: Tool = defineTool({
  name: 'edit_file',
  description:
    'Replaces a text in a file by another. The old text has to be there exactly as given, white space and line ends included, and once only; with replace_all every place that has it is changed.',
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
        throw new CofferError('FAILED', `the old text is not in ${spot.shown}`, { advice: 'read it again' });
      if (found > 1 && !all) {
        const advice = 'give more of what stands around it, or replace_all';
        throw new CofferError('FAILED', `the old text is in ${spot.shown} ${found} times`, { advice });
      }
      return await planChange(spot, before, parts.join(text), place);
    });
  },
});
