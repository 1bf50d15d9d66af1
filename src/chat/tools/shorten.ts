import type { Message } from '../../session/event/event.ts';

/** The longest output of one call that is sent to a model whole, in bytes of UTF-8. */
export const MODEL_LIMIT: number = 256 * 1024;

/**
 * Returns a message as it is sent to the model: outputs over {@link MODEL_LIMIT} are cut to their
 * beginning and end, with a line in between that says how much is omitted. The message in the
 * record stays whole.
 */
export function shortenForModel(message: Message): Message {
  if (message.role !== 'tool' || message.content.every(({ output }) => !isLong(output))) return message;
  return { ...message, content: message.content.map((part) => ({ ...part, output: shortenOutput(part.output) })) };
}

function isLong(output: unknown): output is { value: string } {
  if (typeof output !== 'object' || output === null || !('value' in output)) return false;
  const { value } = output;
  // No UTF-16 unit takes more than three bytes in UTF-8, so most texts need not be measured.
  return typeof value === 'string' && value.length * 3 > MODEL_LIMIT && Buffer.byteLength(value) > MODEL_LIMIT;
}

function shortenOutput(output: unknown): unknown {
  return isLong(output) ? { ...output, value: shortenText(output.value) } : output;
}

function shortenText(text: string): string {
  const bytes = Buffer.from(text);
  const half = MODEL_LIMIT / 2 - 128; // leaves room for the line in between
  const head = cut(bytes, half);
  const tail = cut(bytes, bytes.length - half);
  const left = `[${tail - head} bytes of ${bytes.length} are omitted here; the session has the whole output]`;
  return `${bytes.subarray(0, head)}\n${left}\n${bytes.subarray(tail)}`;
}

/** Returns the nearest position at or before `at` where a character begins. */
function cut(bytes: Buffer, at: number): number {
  let place = at;
  while (((bytes[place] ?? 0) & 0xc0) === 0x80) place--;
  return place;
}
