/** A parsed line: a message for the model, or a command and its argument. */
export type Line = { readonly message: string } | { readonly command: string; readonly argument: string };

/**
 * Parses a line into a message or a slash command. Returns undefined for a blank line. `//x` is the
 * message `/x`. Text of several lines is always a message.
 */
export function parseLine(line: string): Line | undefined {
  if (line.trim() === '') return undefined;
  if (line.startsWith('//')) return { message: line.slice(1) };
  if (!line.startsWith('/') || line.includes('\n')) return { message: line };
  const [, command = '', argument = ''] = /^(\S+)\s*(.*)$/u.exec(line) ?? [];
  return { command, argument: argument.trim() };
}
