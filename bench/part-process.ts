/*
 * Runs one part of the bench in a separate process, so that its heap and its open files don't
 * burden the next one: `part-process.ts <module of the parts> <name> <folder> <size>`, forked by
 * part-run.ts, which receives the outcome as a message.
 */
import type { Part, Size } from './part.ts';
import type { Parts } from './parts.ts';

/** The outcome of a part. */
export type Outcome = { readonly part: Part } | { readonly error: string };

const [module = '', name = '', folder = '', size = ''] = process.argv.slice(2);

// Keeps the part's vaults out of the user's own settings.
process.env['XDG_CONFIG_HOME'] = `${folder}/config`;

async function outcome(): Promise<Outcome> {
  try {
    const { parts } = (await import(module)) as { parts: Parts };
    const load = parts[name];
    if (load === undefined) throw new RangeError(`the bench has no part ${name}`);
    const measure = await load();
    return { part: await measure(folder, size as Size) };
  } catch (error) {
    // The parent reports it and continues with the other parts.
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

// If the bench is gone, nothing else would end a part that hangs.
process.once('disconnect', () => process.exit(1));
const found = await outcome();
// Anything a part left running must not keep its process alive; but the message must be sent first.
process.send?.(found, () => process.exit());
