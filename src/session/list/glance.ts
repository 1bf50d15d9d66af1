import { isCofferError } from '../../errors.ts';
import { type GlanceOptions, glance } from '../../vault/keys/glance.ts';
import { decodeSummary, type Summary } from './summary.ts';

/** Lists the sessions and snapshots that can be seen without asking anybody and without leaving a trace, as {@link glance} says; newest first. */
export async function glanceSessions(options: GlanceOptions): Promise<Summary[]> {
  const heads = await glance(options);
  return heads.flatMap(({ summary }) => {
    try {
      return [decodeSummary(summary)];
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return []; // one that can't be read has no words to offer
    }
  });
}
