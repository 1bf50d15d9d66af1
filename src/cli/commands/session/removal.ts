import { CofferError } from '../../../errors.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Input } from '../../../terminal/input/input.ts';
import { ago, countMessages } from '../../../terminal/output/rows.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';

/** A row to be deleted, and why. */
export interface Doomed {
  readonly row: Row;
  readonly reason: string;
}

/** Means of confirming a removal. */
export interface Asked {
  readonly terminal: Terminal;
  readonly input: Input;
  /** Skips the confirmation. */
  readonly yes: boolean;
  /** Advice on how to skip the question. */
  readonly instead: string;
}

/** Describes a row in one line: its id, name or title, number of messages, age, and the reason. */
export function describeDoomed({ row, reason }: Doomed): string {
  if (row.unreadable !== undefined) return `${row.id} (unreadable): ${reason}`;
  const known = row.name ?? row.title;
  const name = known === undefined || row.id.endsWith(known) ? '' : ` (${known})`;
  return `${row.id}${name}, ${countMessages(row.messages)}, ${ago(row.updated)}: ${reason}`;
}

/**
 * Asks before rows are deleted. Throws `CANCELLED` if the user declines, `USAGE` if there is no
 * terminal to ask on.
 */
export async function confirmRemoval({ terminal, input, yes, instead }: Asked, count: number): Promise<void> {
  if (yes) return;
  if (!terminal.interactive) throw new CofferError('USAGE', 'no terminal to confirm on', { advice: instead });
  const answer = await input.ask(`delete ${count === 1 ? 'it' : `these ${count}`}? [y/N] `);
  if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw new CofferError('CANCELLED', 'nothing was deleted');
}
