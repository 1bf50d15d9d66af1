import type { Message } from '../../session/event/event.ts';

/** The longest output of one call that a model is sent whole, in bytes of UTF-8. */
export const MODEL_LIMIT: number = 256 * 1024;

/**
 * Gives a message as the model gets it: outputs over {@link MODEL_LIMIT} are cut to their beginning and their end, with a line
 * between that says how much is left out. The message itself, which is in the record, stays whole.
 */
export function shortenForModel(message: Message): Message {
  if (message.role !== 'tool' || message.content.every(({ output }) => !isLong(output))) return message;
  return { ...message, content: message.content.map((part) => ({ ...part, output: shortenOutput(part.output) })) };
}

function isLong(output: unknown): output is { value: string } {
  if (typeof output !== 'object' || output === null || !('value' in output)) return false;
  const { value } = output;
  // No character takes more than three bytes: most texts need not be looked at.
  return typeof value === 'string' && value.length * 3 > MODEL_LIMIT && Buffer.byteLength(value) > MODEL_LIMIT;
}

function shortenOutput(output: unknown): unknown {
  return isLong(output) ? { ...output, value: shortenText(output.value) } : output;
}

function shortenText(text: string): string {
  const bytes = Buffer.from(text);
  const half = MODEL_LIMIT / 2 - 128; // the line between has its room
  const head = cut(bytes, half);
  const tail = cut(bytes, bytes.length - half);
  const left = `[${tail - head} bytes of ${bytes.length} are left out here; the whole output is in the record of the session]`;
  return `${bytes.subarray(0, head)}\n${left}\n${bytes.subarray(tail)}`;
}

/** The nearest place at or before `at` where a character begins. */
function cut(bytes: Buffer, at: number): number {
  let place = at;
  while (((bytes[place] ?? 0) & 0xc0) === 0x80) place--;
  return place;
}
