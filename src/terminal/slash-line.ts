/** What a line is: words for the model, or a command and what stands behind its name. */
export type Line = { readonly message: string } | { readonly command: string; readonly argument: string };

/** Tells a message from a slash command; undefined for a blank line. `//x` is the message `/x`; several lines are always a message. */
export function parseLine(line: string): Line | undefined {
  if (line.trim() === '') return undefined;
  if (line.startsWith('//')) return { message: line.slice(1) };
  if (!line.startsWith('/') || line.includes('\n')) return { message: line };
  const [, command = '', argument = ''] = /^(\S+)\s*(.*)$/u.exec(line) ?? [];
  return { command, argument: argument.trim() };
}
