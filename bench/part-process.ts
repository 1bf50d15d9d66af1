/*
 * One part of the bench in a process of its own, so that its heap and its open files do not burden the next one:
 * `part-process.ts <module of the parts> <name> <folder> <size>`, forked by part-run.ts, which gets the outcome as a message.
 */
import type { Part, Size } from './part.ts';
import type { Parts } from './parts.ts';

/** How a part ended. */
export type Outcome = { readonly part: Part } | { readonly error: string };

const [module = '', name = '', folder = '', size = ''] = process.argv.slice(2);

// The vaults of a part are known in a place of its own, and not in the settings of whoever runs it.
process.env['XDG_CONFIG_HOME'] = `${folder}/config`;

async function outcome(): Promise<Outcome> {
  try {
    const { parts } = (await import(module)) as { parts: Parts };
    const load = parts[name];
    if (load === undefined) throw new RangeError(`the bench has no part ${name}`);
    const measure = await load();
    return { part: await measure(folder, size as Size) };
  } catch (error) {
    // Reported by the parent, which goes on with the other parts.
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

// Without the bench nobody is left who would end what hangs.
process.once('disconnect', () => process.exit(1));
const found = await outcome();
// What a part left running must not keep its process alive; the message has to be on its way first.
process.send?.(found, () => process.exit());
