import { constants } from 'node:buffer';
import { CofferError } from '../../../errors.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';

/**
 * Returns the text of `--prompt`, read from standard input if it is `-`. Throws `USAGE` if it is
 * empty.
 */
export async function promptOf(prompt: string, { streams }: Terminal): Promise<string> {
  const words = prompt === '-' ? await pipedText(streams) : prompt;
  if (words.trim() === '')
    throw new CofferError('USAGE', 'a prompt needs at least one word', { advice: 'pass it with -p TEXT' });
  return words.trimEnd();
}

async function pipedText({ stdin }: Terminal['streams']): Promise<string> {
  const { text } = await import('node:stream/consumers');
  try {
    return await text(stdin);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const most = Math.floor(constants.MAX_STRING_LENGTH / 2 ** 20);
    throw new CofferError('USAGE', `standard input is too long for a prompt; the limit is ${most} Mi characters`, {
      cause,
    });
  }
}
