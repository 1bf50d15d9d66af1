import { isCofferError } from '../../errors.ts';
import { type GlanceOptions, glance } from '../../vault/keys/glance.ts';
import { decodeSummary, type Summary } from './summary.ts';

/**
 * Lists the sessions and snapshots that can be read without asking the user and without leaving a
 * trace, newest first; see {@link glance}.
 */
export async function glanceSessions(options: GlanceOptions): Promise<Summary[]> {
  const heads = await glance(options);
  return heads.flatMap(({ summary }) => {
    try {
      return [decodeSummary(summary)];
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return []; // nothing to complete from an unreadable session
    }
  });
}
