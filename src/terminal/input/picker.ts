import { styleText } from 'node:util';
import type { Row } from '../../session/list/row.ts';
import { escapeLine } from '../output/escape.ts';
import { describeRow, nameRow } from '../output/rows.ts';
import type { Terminal } from '../output/terminal.ts';
import { cut } from '../output/width.ts';
import type { Input } from './input.ts';
import { usualSize } from './input-streams.ts';

/** An entry of a picker: a title, and dimmed details below it. The picker escapes both. */
export interface Choice<T> {
  readonly value: T;
  readonly title: string;
  readonly details?: string;
  /** The number to choose it by. Default: its position among the choices. */
  readonly number?: number;
  /** Words for the filter to search in addition to the title. They are not shown. */
  readonly words?: readonly (string | undefined)[];
  /** Whether it is only shown and can't be chosen. */
  readonly disabled?: boolean;
}

/** Columns of the mark in front of a choice, and a free one at the end of the line. */
const MARGIN = 3;

/** Rows of the question, the filter and the help. Each choice takes two more. */
const FRAME = 6;

/** Choices shown at a time on a terminal that can't move its cursor. */
const SHOWN = 20;

/**
 * Lets the user choose one of `choices`. Typing filters, Enter chooses. Resolves to undefined after
 * Esc, Ctrl+C and Ctrl+D, and if there are no choices. Leaves the screen as it was. Throws a
 * TypeError if there is no terminal: callers print the list instead.
 */
export async function pick<T>(
  terminal: Terminal,
  input: Input,
  choices: readonly Choice<T>[],
  options: { readonly question: string },
): Promise<T | undefined> {
  if (!terminal.interactive) throw new TypeError('there is no terminal to choose on: print the list instead');
  if (choices.length === 0) return undefined;
  if (terminal.dumb) return ask(terminal, input, choices, options.question);
  const { autocomplete } = await import('@clack/prompts');
  const rows = choices.map((choice) => new Drawn(terminal, choice));
  const chosen = await input.lend((stdin, stdout, signal) =>
    autocomplete<Drawn<T>>({
      message: `${escapeLine(options.question)} (esc to cancel)`,
      options: rows,
      filter: (text, row) => (row as Drawn<T>).matches(text),
      validate: (row) => (row instanceof Drawn && !row.disabled ? undefined : 'nothing here can be chosen'),
      withGuide: false,
      input: stdin,
      output: stdout,
      signal,
      // A getter, because clack reads it on every draw and the terminal may have been resized.
      get maxItems() {
        return Math.max(1, Math.floor(((terminal.ui.rows || usualSize.rows) - FRAME) / 2));
      },
    }),
  );
  return chosen instanceof Drawn ? chosen.choice.value : undefined;
}

/** Lets the user choose a session, newest first. Unreadable sessions are shown but disabled. */
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

/**
 * A choice as clack shows it. Its label is computed on each draw: only a few of many choices are
 * ever drawn, and the terminal's size may change.
 */
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

  /** The value that clack compares, keeps and returns. */
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

  /** Returns whether the choice contains every word of `text`. */
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

/** Lets the user choose by number if the cursor can't be moved: TERM=dumb, an editor's shell. */
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
    const answer = (await input.ask(`${question} number, words to filter, or enter to cancel: `))?.trim();
    if (answer === undefined || answer === '') return undefined;
    const found = numbered.find(({ choice, number }) => String(number) === answer && choice.disabled !== true);
    if (found !== undefined) return found.choice.value;
    const words = wordsOf(answer);
    left = numbered.filter(({ choice }) => words.every((word) => toHaystack(choice).includes(word)));
    if (left.length === 0) {
      terminal.tell(`no match for ${answer}`);
      left = numbered;
    }
  }
}
