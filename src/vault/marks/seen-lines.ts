import type { Segment } from '../../envelope/format.ts';
import { unpackSegment } from '../../envelope/segment.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { isInteger, isText } from '../fields.ts';
import { pack } from '../file/body.ts';
import type { RollbackMark } from '../file/sealed-file.ts';
import { isFileId } from '../lease.ts';

/*
 * The lines of `seen`: one for each file. Closing a session changes a single one, so lines are
 * searched as text, and parsed only when all marks are needed. A segment in which nothing changes
 * is written back as it was read. With 10,000 marks a change takes 30 ms this way instead of 37 ms,
 * with 100,000 it takes 168 ms instead of 429 ms.
 */

/**
 * Maximum size of `seen` in bytes, both of its lines and as a file: room for some 400,000 marks.
 */
export const SEEN_LIMIT: number = 64 * 1024 * 1024;

/** After this many lookups all lines are parsed: each lookup searches the whole text. */
const MAX_LOOKUPS = 3;

/** From this many changes on all lines are rewritten. */
const REWRITE_FROM = 32;

/** The marks in one state of `seen`, by file id. */
export class MarkLines {
  readonly #segments: readonly Segment[];
  #usual: boolean | undefined;
  #asked = 0;
  #marks: ReadonlyMap<string, RollbackMark> | undefined;

  /**
   * `whole`: all marks are needed, so parse them at once. Throws `UNAUTHENTIC` unless every line is
   * a mark.
   */
  constructor(segments: readonly Segment[], whole: boolean = false) {
    if (segments.reduce((sum, { plainLength }) => sum + plainLength, 0) > SEEN_LIMIT) {
      throw damaged('it holds too many marks');
    }
    this.#segments = segments;
    if (whole || !this.#isUsual) this.#marks = decodeMarks(segments);
  }

  /** All marks by file id. */
  get marks(): ReadonlyMap<string, RollbackMark> {
    this.#marks ??= decodeMarks(this.#segments);
    return this.#marks;
  }

  /**
   * Returns one mark without parsing the others; parses all after a few calls, since more are
   * likely to follow.
   */
  find(fileId: string): RollbackMark | undefined {
    if (++this.#asked > MAX_LOOKUPS) return this.marks.get(fileId);
    return this.#marks ? this.#marks.get(fileId) : findIn(this.#segments.map(textOf), fileId);
  }

  /**
   * Returns the segments after these changes: a mark replaces an earlier one, undefined removes it.
   * Returns undefined if nothing changes.
   */
  changed(changes: ReadonlyMap<string, RollbackMark | undefined>): Segment[] | undefined {
    const isFew = this.#isUsual && changes.size < REWRITE_FROM;
    const texts = isFew && !this.#marks ? this.#segments.map(textOf) : undefined;
    const find = (fileId: string): RollbackMark | undefined => (texts ? findIn(texts, fileId) : this.marks.get(fileId));
    const real = [...changes].filter(([fileId, mark]) => {
      const before = find(fileId);
      return mark ? isLater(mark, before) : before !== undefined;
    });
    if (real.length === 0) return undefined;
    if (isFew) return this.#patched(new Map(real));
    const marks = new Map(this.marks);
    for (const [fileId, mark] of real) {
      if (mark) marks.set(fileId, mark);
      else marks.delete(fileId);
    }
    return packMarks(marks);
  }

  /**
   * Whether every line is exactly as coffer writes it, and can be found by its first characters.
   */
  get #isUsual(): boolean {
    this.#usual ??= this.#segments.every((segment) => isUsual(textOf(segment)));
    return this.#usual;
  }

  #patched(changes: ReadonlyMap<string, RollbackMark | undefined>): Segment[] {
    const starts = [...changes.keys()].map(startOf);
    const added = [...changes].flatMap(([fileId, mark]) => (mark ? [lineOf(fileId, mark)] : []));
    const segments: Segment[] = [];
    let rest = '';
    for (const [at, segment] of this.#segments.entries()) {
      const text = textOf(segment);
      const isTouched = starts.some((start) => text.includes(start));
      if (!isTouched && at < this.#segments.length - 1) segments.push(segment);
      else
        rest += text
          .split(LINE_ENDS)
          .filter((line) => !starts.some((start) => line.startsWith(start)))
          .join('');
    }
    return [...segments, ...pack([Buffer.from(rest + added.join(''))])];
  }
}

/** Writes marks as lines in segments. */
export function packMarks(marks: ReadonlyMap<string, RollbackMark>): Segment[] {
  return pack([Buffer.from([...marks].map(([fileId, mark]) => lineOf(fileId, mark)).join(''))]);
}

/** Tells whether a mark is of a later state of its file than another. */
export function isLater(mark: RollbackMark, before: RollbackMark | undefined): boolean {
  if (!before || mark.generation > before.generation) return true;
  return mark.generation === before.generation && mark.frames > before.frames;
}

/** Returns the error that `seen` is not what coffer writes. */
export function damaged(what: string, cause?: unknown): CofferError {
  return new CofferError('UNAUTHENTIC', `file seen: ${what}`, { cause });
}

/** Matches the position after every line feed. */
const LINE_ENDS = /(?<=\n)/;

/**
 * A line as coffer writes it, with a generation short enough to fit 64 bits. Other lines that are
 * marks too are parsed.
 */
const USUAL = /\{"file":"[0-9a-f]{32}","generation":"\d{1,19}","frames":[1-9]\d{0,14},"link":"[0-9a-f]{64}"\}\n/y;

function isUsual(text: string): boolean {
  USUAL.lastIndex = 0;
  let end = 0;
  while (end < text.length && USUAL.test(text)) end = USUAL.lastIndex;
  return end === text.length;
}

function lineOf(fileId: string, { generation, frames, link }: RollbackMark): string {
  return `${startOf(fileId)},"generation":"${generation}","frames":${frames},"link":"${link.toString('hex')}"}\n`;
}

function startOf(fileId: string): string {
  return `{"file":"${fileId}"`;
}

/** Finds the mark of a file in the text; the latest, if there are several. */
function findIn(texts: readonly string[], fileId: string): RollbackMark | undefined {
  let found: RollbackMark | undefined;
  for (const text of texts) {
    for (let at = text.indexOf(startOf(fileId)); at !== -1; at = text.indexOf(startOf(fileId), at + 1)) {
      const { mark } = decodeMark(text.slice(at, text.indexOf('\n', at)));
      if (isLater(mark, found)) found = mark;
    }
  }
  return found;
}

function decodeMarks(segments: readonly Segment[]): Map<string, RollbackMark> {
  const marks = new Map<string, RollbackMark>();
  for (const segment of segments) {
    for (const line of textOf(segment).split('\n')) {
      if (line === '') continue;
      const { file, mark } = decodeMark(line);
      if (isLater(mark, marks.get(file))) marks.set(file, mark);
    }
  }
  return marks;
}

/** Validated by hand for speed: a list reads one line for each file. */
function decodeMark(line: string): { file: string; mark: RollbackMark } {
  const { file, generation, frames, link } = parse(line);
  if (!isText(file) || !isFileId(file)) throw wrong('file');
  if (!isText(generation) || !/^\d{1,20}$/.test(generation)) throw wrong('generation');
  const count = BigInt(generation);
  if (count >= 2n ** 64n) throw wrong('generation');
  if (!isInteger(frames) || frames <= 0) throw wrong('frames');
  // A character that isn't a hex digit ends the decoding early. A regular expression would take as
  // long as all the rest.
  const bytes = Buffer.from(isText(link) && link.length === 64 ? link : '', 'hex');
  if (bytes.length !== 32) throw wrong('link');
  return { file, mark: { generation: count, frames, link: bytes } };
}

function parse(line: string): Record<'file' | 'generation' | 'frames' | 'link', unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw damaged('a mark is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('form');
  return value as ReturnType<typeof parse>;
}

function wrong(what: string): CofferError {
  return damaged(`the ${what} of a mark is not what coffer writes`);
}

function textOf(segment: Segment): string {
  try {
    return unpackSegment(segment).toString('latin1');
  } catch (cause) {
    throw isCofferError(cause) ? damaged(cause.message, cause) : cause;
  }
}
