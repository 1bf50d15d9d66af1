import { CofferError } from '../../../errors.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Input } from '../../../terminal/input.ts';
import { ago, countMessages } from '../../../terminal/rows.ts';
import type { Terminal } from '../../../terminal/terminal.ts';

/** A row that is to be deleted, and why. */
export interface Doomed {
  readonly row: Row;
  readonly reason: string;
}

/** Who is told, and asked. */
export interface Asked {
  readonly terminal: Terminal;
  readonly input: Input;
  /** Nobody is asked. */
  readonly yes: boolean;
  /** What does without asking, in words. */
  readonly instead: string;
}

/** What a row is, in one line: its id, what it is known by, how much is in it and how old that is. */
export function describeDoomed({ row, reason }: Doomed): string {
  if (row.unreadable !== undefined) return `${row.id} (unreadable): ${reason}`;
  const known = row.name ?? row.title;
  const name = known === undefined || row.id.endsWith(known) ? '' : ` (${known})`;
  return `${row.id}${name}, ${countMessages(row.messages)}, ${ago(row.updated)}: ${reason}`;
}

/** Asks before rows are deleted. Throws `CANCELLED` where that is not wanted, `USAGE` where nobody is there to say. */
export async function confirmRemoval({ terminal, input, yes, instead }: Asked, count: number): Promise<void> {
  if (yes) return;
  if (!terminal.interactive) throw new CofferError('USAGE', 'no terminal to confirm on', { advice: instead });
  const answer = await input.ask(`delete ${count === 1 ? 'it' : `these ${count}`}? [y/N] `);
  if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw new CofferError('CANCELLED', 'nothing was deleted');
}
