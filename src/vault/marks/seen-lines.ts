import type { Segment } from '../../envelope/format.ts';
import { unpackSegment } from '../../envelope/segment.ts';
import { CofferError, isCofferError } from '../../errors.ts';
import { isInteger, isText } from '../fields.ts';
import { pack } from '../file/body.ts';
import type { Mark } from '../file/sealed-file.ts';
import { isFileId } from '../lease.ts';

/*
 * The lines of `seen`. There are as many as files, and whoever closes a session changes one of them: so they are looked through as
 * text, and taken apart only where all of them are asked for. A segment in which nothing changes is written as it was read.
 */

/** The most bytes that `seen` has, as lines and as a file: some 400,000 marks. */
export const SEEN_LIMIT: number = 64 * 1024 * 1024;

/** Behind so many questions all lines are taken apart: each of them looks through all of the text. */
const SEVERAL = 3;

/** From so many changes on all lines are written anew. */
const MANY = 32;

/** Marks by file id, as one state of `seen` has them. */
export class MarkLines {
  readonly #segments: readonly Segment[];
  #usual: boolean | undefined;
  #asked = 0;
  #marks: ReadonlyMap<string, Mark> | undefined;

  /** `whole`: all marks are needed, and are taken apart at once. Throws `UNAUTHENTIC` unless every line is a mark. */
  constructor(segments: readonly Segment[], whole: boolean = false) {
    if (segments.reduce((sum, { plainLength }) => sum + plainLength, 0) > SEEN_LIMIT) {
      throw damaged('it has too many marks');
    }
    this.#segments = segments;
    if (whole || !this.#isUsual) this.#marks = decodeMarks(segments);
  }

  get marks(): ReadonlyMap<string, Mark> {
    this.#marks ??= decodeMarks(this.#segments);
    return this.#marks;
  }

  /** One mark, without taking the others apart; who asks for several is likely to ask for all. */
  find(fileId: string): Mark | undefined {
    if (++this.#asked > SEVERAL) return this.marks.get(fileId);
    return this.#marks ? this.#marks.get(fileId) : findIn(this.#segments.map(textOf), fileId);
  }

  /** The segments with these marks in place of those that they are later than, and without those that are undefined; none where nothing changes. */
  changed(changes: ReadonlyMap<string, Mark | undefined>): Segment[] | undefined {
    const isFew = this.#isUsual && changes.size < MANY;
    const texts = isFew && !this.#marks ? this.#segments.map(textOf) : undefined;
    const find = (fileId: string): Mark | undefined => (texts ? findIn(texts, fileId) : this.marks.get(fileId));
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

  /** Every line is as coffer writes it: it can be found by how it begins. */
  get #isUsual(): boolean {
    this.#usual ??= this.#segments.every((segment) => isUsual(textOf(segment)));
    return this.#usual;
  }

  #patched(changes: ReadonlyMap<string, Mark | undefined>): Segment[] {
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

/** Writes marks as lines. Throws `NOT_SAVED` where there are too many. */
export function packMarks(marks: ReadonlyMap<string, Mark>): Segment[] {
  return pack([Buffer.from([...marks].map(([fileId, mark]) => lineOf(fileId, mark)).join(''))]);
}

/** Tells whether a mark is of a later state of its file than another. */
export function isLater(mark: Mark, before: Mark | undefined): boolean {
  if (!before || mark.generation > before.generation) return true;
  return mark.generation === before.generation && mark.frames > before.frames;
}

/** Says that `seen` is not what coffer writes. */
export function damaged(what: string, cause?: unknown): CofferError {
  return new CofferError('UNAUTHENTIC', `file seen: ${what}`, { cause });
}

/** Behind every line feed. */
const LINE_ENDS = /(?<=\n)/;

/** A line as coffer writes it, with a generation that 64 bits hold by its length. Others that are marks as well are taken apart. */
const USUAL = /\{"file":"[0-9a-f]{32}","generation":"\d{1,19}","frames":[1-9]\d{0,14},"link":"[0-9a-f]{64}"\}\n/y;

function isUsual(text: string): boolean {
  USUAL.lastIndex = 0;
  let end = 0;
  while (end < text.length && USUAL.test(text)) end = USUAL.lastIndex;
  return end === text.length;
}

function lineOf(fileId: string, { generation, frames, link }: Mark): string {
  return `${startOf(fileId)},"generation":"${generation}","frames":${frames},"link":"${link.toString('hex')}"}\n`;
}

function startOf(fileId: string): string {
  return `{"file":"${fileId}"`;
}

/** The latest, should there be two. */
function findIn(texts: readonly string[], fileId: string): Mark | undefined {
  let found: Mark | undefined;
  for (const text of texts) {
    for (let at = text.indexOf(startOf(fileId)); at !== -1; at = text.indexOf(startOf(fileId), at + 1)) {
      const { mark } = decodeMark(text.slice(at, text.indexOf('\n', at)));
      if (isLater(mark, found)) found = mark;
    }
  }
  return found;
}

function decodeMarks(segments: readonly Segment[]): Map<string, Mark> {
  const marks = new Map<string, Mark>();
  for (const segment of segments) {
    for (const line of textOf(segment).split('\n')) {
      if (line === '') continue;
      const { file, mark } = decodeMark(line);
      if (isLater(mark, marks.get(file))) marks.set(file, mark);
    }
  }
  return marks;
}

/** By hand: a list reads as many lines as there are files. */
function decodeMark(line: string): { file: string; mark: Mark } {
  const { file, generation, frames, link } = parse(line);
  if (!isText(file) || !isFileId(file)) throw wrong('file');
  if (!isText(generation) || !/^\d{1,20}$/.test(generation)) throw wrong('generation');
  const count = BigInt(generation);
  if (count >= 2n ** 64n) throw wrong('generation');
  if (!isInteger(frames) || frames <= 0) throw wrong('frames');
  // What is no digit ends it early. A regular expression takes as long as all the rest.
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
