import { styleText } from 'node:util';
import type { Row } from '../session/list/row.ts';
import { escapeLine } from './escape.ts';
import type { Input } from './input.ts';
import { usualSize } from './input-streams.ts';
import { describeRow, nameRow } from './rows.ts';
import type { Terminal } from './terminal.ts';
import { cut } from './width.ts';

/** One thing to choose: a line, and a dimmer one under it. Both are escaped here. */
export interface Choice<T> {
  readonly value: T;
  readonly title: string;
  readonly details?: string;
  /** What it is called where a number is typed; its place among the choices unless told. */
  readonly number?: number;
  /** What the filter looks at beside the title: words that need not be shown. */
  readonly words?: readonly (string | undefined)[];
  /** It is shown, and can't be chosen. */
  readonly disabled?: boolean;
}

/** The columns a mark takes in front of a choice, and one that stays free at the end of a line. */
const MARGIN = 3;

/** The rows that question, filter and help take; each choice takes two. */
const FRAME = 6;

/** How many choices a terminal that can't move its cursor shows at a time. */
const SHOWN = 20;

/**
 * Lets somebody choose: typing filters, Enter chooses, Esc, Ctrl+C and Ctrl+D give undefined, as no choices at all do. The screen is as it
 * was before. Throws a TypeError without a terminal: there the list is printed instead.
 */
export async function pick<T>(
  terminal: Terminal,
  input: Input,
  choices: readonly Choice<T>[],
  options: { readonly question: string },
): Promise<T | undefined> {
  if (!terminal.interactive) throw new TypeError('nobody is there to choose: print the list instead');
  if (choices.length === 0) return undefined;
  if (terminal.dumb) return ask(terminal, input, choices, options.question);
  const { autocomplete } = await import('@clack/prompts');
  const rows = choices.map((choice) => new Drawn(terminal, choice));
  const chosen = await input.lend((stdin, stdout, signal) =>
    autocomplete<Drawn<T>>({
      message: `${escapeLine(options.question)} (esc leaves)`,
      options: rows,
      filter: (text, row) => (row as Drawn<T>).matches(text),
      validate: (row) => (row instanceof Drawn && !row.disabled ? undefined : 'nothing here can be chosen'),
      withGuide: false,
      input: stdin,
      output: stdout,
      signal,
      // clack asks for it whenever it draws: the terminal may have another size by now
      get maxItems() {
        return Math.max(1, Math.floor(((terminal.ui.rows || usualSize.rows) - FRAME) / 2));
      },
    }),
  );
  return chosen instanceof Drawn ? chosen.choice.value : undefined;
}

/** Lets somebody choose a session, newest first. What can't be opened is shown, and can't be chosen. */
export async function pickSession(
  terminal: Terminal,
  input: Input,
  rows: readonly Row[],
  question = 'resume which session?',
): Promise<Row | undefined> {
  if (rows.length === 0) terminal.say('no saved sessions yet');
  return pick(terminal, input, rows.toSorted(newestFirst).map(toChoice), { question });
}

function newestFirst(a: Row, b: Row): number {
  return Number(a.unreadable !== undefined) - Number(b.unreadable !== undefined) || b.updated - a.updated;
}

function toChoice(row: Row): Choice<Row> {
  return {
    value: row,
    number: row.number,
    title: nameRow(row),
    details: describeRow(row),
    words: [row.label, row.id, row.name, row.title, ...(row.tags ?? []), row.directory, row.model],
    disabled: row.unreadable !== undefined,
  };
}

/** A choice as clack shows it. What it shows is made when it is drawn: few of many are, and the terminal's size may change. */
class Drawn<T> {
  readonly choice: Choice<T>;
  readonly disabled: boolean;
  readonly #terminal: Terminal;
  #haystack: string | undefined;

  constructor(terminal: Terminal, choice: Choice<T>) {
    this.#terminal = terminal;
    this.choice = choice;
    this.disabled = choice.disabled === true;
  }

  /** What clack compares, keeps and gives back. */
  get value(): this {
    return this;
  }

  get label(): string {
    const { title, details, number } = this.choice;
    const columns = Math.max(1, (this.#terminal.ui.columns || usualSize.columns) - MARGIN);
    const first = cut(escapeLine(number === undefined ? title : `${number}  ${title}`), columns);
    if (details === undefined) return first;
    return `${first}\n${this.#dim(`  ${cut(escapeLine(details), columns)}`)}`;
  }

  /** Whether all the words of a text are in it, somewhere. */
  matches(text: string): boolean {
    this.#haystack ??= toHaystack(this.choice);
    return wordsOf(text).every((word) => this.#haystack?.includes(word));
  }

  #dim(text: string): string {
    return this.#terminal.styled ? styleText('dim', text, { validateStream: false }) : text;
  }
}

function toHaystack({ title, words = [] }: Choice<unknown>): string {
  return normal([title, ...words].join('\n'));
}

function wordsOf(text: string): string[] {
  return normal(text).split(/\s+/);
}

function normal(text: string): string {
  return text.normalize('NFC').toLowerCase();
}

/** Chooses by number, where a cursor can't be moved: TERM=dumb, an editor's shell. */
async function ask<T>(
  terminal: Terminal,
  input: Input,
  choices: readonly Choice<T>[],
  question: string,
): Promise<T | undefined> {
  const numbered = choices.map((choice, index) => ({ choice, number: choice.number ?? index + 1 }));
  let left = numbered;
  for (;;) {
    for (const { choice, number } of left.slice(0, SHOWN))
      terminal.tell(`${String(number).padStart(3)}) ${[choice.title, choice.details].filter(Boolean).join(', ')}`);
    if (left.length > SHOWN) terminal.tell(`and ${left.length - SHOWN} more`);
    const answer = (await input.ask(`${question} a number, words to filter, or enter to leave: `))?.trim();
    if (answer === undefined || answer === '') return undefined;
    const found = numbered.find(({ choice, number }) => String(number) === answer && choice.disabled !== true);
    if (found !== undefined) return found.choice.value;
    const words = wordsOf(answer);
    left = numbered.filter(({ choice }) => words.every((word) => toHaystack(choice).includes(word)));
    if (left.length === 0) {
      terminal.tell(`nothing has ${answer} in it`);
      left = numbered;
    }
  }
}
