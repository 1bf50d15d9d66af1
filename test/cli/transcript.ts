/*
 * A transcript reads as what a user sees, and is run as it is:
 *
 *     # a remark
 *     $ coffer sessions --json      a command; more of its arguments in quotes
 *     < hello                       a line of its standard input
 *     > echo: hello                 a line of its stdout, all of them, in order
 *     ! demo/echo, key from …       a line of its stderr, all of them, in order
 *     ? 10                          its exit code, if it is not 0
 *
 * In expected lines `[id]` stands for the time of an id, `[key]` and `[file]` for 32 hex digits, `[uuid]` for a UUID,
 * `[time]` for a time in ISO form, `[dir]` for the folder of the test, `[…]` for anything.
 */

/** One command of a transcript, and its expected results. */
export interface Exchange {
  readonly line: number;
  readonly args: readonly string[];
  readonly input: string;
  readonly out: readonly string[];
  readonly err: readonly string[];
  readonly code: number;
}

/** The results of a command. */
export interface Seen {
  readonly out: string;
  readonly err: string;
  readonly code: number;
}

/** Parses a transcript. Throws for an invalid line. */
export function parseTranscript(text: string): Exchange[] {
  const exchanges: Exchange[] = [];
  for (const [at, line] of text.split('\n').entries()) {
    const content = line.slice(2);
    const last = exchanges.at(-1);
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('$ coffer')) {
      exchanges.push({ line: at + 1, args: splitArguments(line.slice(8)), input: '', out: [], err: [], code: 0 });
    } else if (last === undefined || !/^[<>!?]( |$)/.test(line)) {
      throw new Error(`line ${at + 1} is not one of a transcript: ${line}`);
    } else exchanges[exchanges.length - 1] = add(last, line[0] ?? '', content);
  }
  return exchanges;
}

/** What was seen, in the form of the transcript, its changing parts replaced as `wanted` has them. */
export function compare(wanted: Exchange, seen: Seen, folder: string): { expected: string; actual: string } {
  const expected = [...marked('>', wanted.out), ...marked('!', wanted.err), `? ${wanted.code}`];
  const actual = [...marked('>', lines(seen.out)), ...marked('!', lines(seen.err)), `? ${seen.code}`];
  const same = actual.map((line, at) => {
    const pattern = expected[at];
    return pattern !== undefined && toPattern(pattern, folder).test(line) ? pattern : line;
  });
  return { expected: expected.join('\n'), actual: same.join('\n') };
}

function add(exchange: Exchange, mark: string, content: string): Exchange {
  switch (mark) {
    case '<':
      return { ...exchange, input: `${exchange.input}${content}\n` };
    case '>':
      return { ...exchange, out: [...exchange.out, content] };
    case '!':
      return { ...exchange, err: [...exchange.err, content] };
    default:
      return { ...exchange, code: Number(content) };
  }
}

function splitArguments(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
}

function lines(text: string): string[] {
  const all = text.split('\n');
  return all.at(-1) === '' ? all.slice(0, -1) : all;
}

function marked(mark: string, content: readonly string[]): string[] {
  return content.map((line) => `${mark} ${line}`);
}

const placeholders: readonly [string, string][] = [
  ['[id]', String.raw`\d{4}-\d\d-\d\d_\d\d-\d\d(?:-\d+)?`],
  ['[key]', '[0-9a-f]{32}'],
  ['[file]', '[0-9a-f]{32}'],
  ['[uuid]', '[0-9a-f-]{36}'],
  ['[time]', String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`],
  ['[…]', '.*'],
];

function toPattern(line: string, folder: string): RegExp {
  const fixed = RegExp.escape(line.replaceAll('[dir]', folder));
  const pattern = placeholders.reduce((text, [name, form]) => text.replaceAll(RegExp.escape(name), form), fixed);
  return new RegExp(`^${pattern}$`);
}
