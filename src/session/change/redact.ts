import { CofferError, isCofferError } from '../../errors.ts';
import { bytesIn, changeText } from '../event/attachment.ts';
import { type Event, isKnown } from '../event/event.ts';
import type { Row } from '../list/row.ts';
import type { Session } from '../session.ts';
import type { Sessions } from '../sessions.ts';

/*
 * Takes a text out of recorded events. What a session is made of stays: the names of fields, the kinds of events and parts, roles,
 * states and UUIDs. Everything else is replaced where it holds the text, decoded: in the record's own JSON a quotation mark is two
 * characters.
 */

/** What stands in place of a redacted text. */
const MARK = '[redacted]';

/** The same where a provider takes letters only: in the ids and names of tool calls. */
const PLAIN_MARK = 'redacted';

/** Shorter texts are in too much of a record. */
const SHORTEST = 4;

/** A replacement may make the text anew, of the mark and what is beside it; after so many rounds the whole string goes. */
const ROUNDS = 8;

/** Takes a text out of events, wherever it is. */
export interface Redaction {
  /** The events without the text, and how many are not as they were. */
  redact(events: readonly Event[]): { events: Event[]; changed: number };
  /** Tells whether events have the text. */
  isIn(events: readonly Event[]): boolean;
}

/**
 * Gets ready to take a text out. One of several lines, a private key, is taken out as a whole and line by line: where it was
 * recorded its lines may be indented, or end otherwise. Throws `USAGE` for a text that would shred the record.
 */
export function redactionOf(text: string): Redaction {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const texts = lines.length === 1 ? [text] : [text.trim(), ...lines.filter((line) => [...line].length >= SHORTEST)];
  const length = [...(texts[0] ?? '')].length;
  if (length < SHORTEST) {
    throw new CofferError('USAGE', `a text to redact has at least ${SHORTEST} characters, and this one has ${length}`);
  }
  if (texts.some((one) => MARK.includes(one))) {
    throw new CofferError('USAGE', 'this text is part of what is put in place of a redacted one', {
      advice: 'nothing is changed',
    });
  }
  const redact = (events: readonly Event[]): { events: Event[]; changed: number } => {
    const scrub = new Scrub(texts);
    let changed = 0;
    const after = events.map((event) => {
      const hits = scrub.hits;
      const redacted = scrub.event(event);
      if (scrub.hits === hits) return event;
      changed++;
      return redacted;
    });
    return { events: after, changed };
  };
  return { redact, isIn: (events) => redact(events).changed > 0 };
}

/**
 * Takes a text out of a session and out of its file. Gives how many events are not as they were; where none is, nothing is written.
 * Durable when it resolves. Throws as {@link Session.rewrite}.
 */
export async function redactSession(session: Session, redaction: Redaction): Promise<number> {
  const before = session.events;
  const { events, changed } = redaction.redact(before);
  if (changed === 0) return 0;
  await session.rewrite(events);
  return changed;
}

/** What else of a vault has a text: rows, and rows of which that can't be known. */
export interface Holders {
  readonly rows: readonly Row[];
  readonly unknown: readonly Row[];
}

/** Reads every session and snapshot but one, and finds those with the text. */
export async function holdersOf(
  sessions: Sessions,
  redaction: Redaction,
  but: { readonly fileId?: string | undefined },
): Promise<Holders> {
  const rows: Row[] = [];
  const unknown: Row[] = [];
  for (const row of await sessions.list()) {
    if (row.fileId === but.fileId) continue;
    try {
      const { events } = await sessions.read(row);
      if (redaction.isIn(events) || hasName(redaction, row)) rows.push(row);
    } catch (error) {
      if (!isCofferError(error)) throw error;
      unknown.push(row);
    }
  }
  return { rows, unknown };
}

/** A snapshot has a name that no event of it says. */
function hasName(redaction: Redaction, { id, name = '' }: Row): boolean {
  const named = { id: 1, ts: 0, type: 'name', name: `${id}\n${name}` };
  return redaction.isIn([named]);
}

class Scrub {
  hits = 0;
  readonly #texts: readonly string[];

  /** Recorded output is often JSON itself, in which the text is written with escapes. */
  constructor(texts: readonly string[]) {
    const spellings = texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1)]);
    this.#texts = [...new Set(spellings)].sort((a, b) => b.length - a.length);
  }

  event(event: Event): Event {
    const { id, ts, type, ...fields } = event as Event & Record<string, unknown>;
    const inside = isKnown(event) ? this.#shape(fields) : this.#free(fields);
    return { id, ts, type, ...(inside as object) } as Event;
  }

  /** A part of an event whose fields coffer knows: their names stay, and the words that its schema asks for. */
  #shape(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#shape(item));
    if (!isObject(value)) return this.#text(value);
    return Object.fromEntries(
      Object.entries(value).map(([name, inside]) => [
        fields.has(name) ? name : this.#text(name),
        this.#field(name, inside),
      ]),
    );
  }

  #field(name: string, value: unknown): unknown {
    if (typeof value === 'string') {
      if (name === 'data') return this.#data(value);
      if (name === 'uuid' || (vocabulary.has(name) && words.has(value))) return value;
      return this.#text(value, name === 'toolCallId' || name === 'toolName' ? PLAIN_MARK : MARK);
    }
    if (name === 'input') return this.#free(value);
    if (name === 'output') return this.#output(value);
    return this.#shape(value);
  }

  /** A file: its text, decoded. Of an image or a PDF that has the text in the clear nothing stays. */
  #data(data: string): string {
    const shown = this.#text(data);
    if (shown !== data) return shown;
    const redacted = changeText(data, (text) => this.#text(text));
    if (redacted !== undefined) return redacted;
    const bytes = bytesIn(data);
    if (bytes === undefined || this.#texts.every((text) => !bytes.includes(text))) return data;
    this.hits++;
    return Buffer.from(MARK).toString('base64');
  }

  /** What a tool gave back, in one of the forms of the AI SDK: a kind, and a value of any form. */
  #output(value: unknown): unknown {
    if (!isObject(value) || !words.has(value['type'] as string)) return this.#free(value);
    const { type, value: inside, ...others } = value;
    const free = type === 'content' ? this.#shape(inside) : this.#free(inside);
    const shown = 'value' in value ? { value: free } : {};
    return { type, ...shown, ...(this.#shape(others) as object) };
  }

  /** What may be anything: names of fields are as much a place for a secret as values, and so are numbers. */
  #free(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#free(item));
    if (isObject(value)) {
      return Object.fromEntries(Object.entries(value).map(([name, inside]) => [this.#text(name), this.#free(inside)]));
    }
    const written = typeof value === 'number' ? String(value) : undefined;
    return written !== undefined && this.#has(written) ? this.#text(written) : this.#text(value);
  }

  #text<T>(value: T, mark: string = MARK): T | string {
    if (typeof value !== 'string' || !this.#has(value)) return value;
    this.hits++;
    let rest: string = value;
    for (let round = 0; round < ROUNDS && this.#has(rest); round++) {
      for (const text of this.#texts) rest = rest.replaceAll(text, () => mark);
    }
    return this.#has(rest) ? mark : rest;
  }

  #has(value: string): boolean {
    return this.#texts.some((text) => value.includes(text));
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The names of an event's fields and of what is in them. */
const fields: ReadonlySet<string> = new Set(
  `uuid directory branch worktree project parent first remote path reason id message model partial role content type text data
  mediaType filename toolCallId toolName input output value usage inputTokens cachedTokens outputTokens cost name pinned archived tags status code
  outcome bytes source offered rule about answer by decision tokens window summary through to providerOptions providerMetadata`.split(
    /\s+/,
  ),
);

/** The fields whose values are words of coffer's own or of the AI SDK's. */
const vocabulary: ReadonlySet<string> = new Set([
  ...['type', 'role', 'status', 'outcome', 'answer', 'by', 'decision', 'source'],
]);

const words: ReadonlySet<string> = new Set(
  `system user assistant tool text reasoning file tool-call tool-result running completed cancelled failed denied once session
  deny always allow revoke person rule nobody json error-text error-json content execution-denied media file-data file-url file-id
  image-data image-url image-file-id custom agents`.split(/\s+/),
);

/** Lists the providers that a conversation was sent to. The built-in models send nothing anywhere. */
export function providersOf(events: readonly Event[]): string[] {
  const models = events.flatMap((event) =>
    isKnown(event) && (event.type === 'message' || event.type === 'usage' || event.type === 'compaction')
      ? [event.model ?? '']
      : [],
  );
  const providers = new Set(models.map((model) => model.split('/')[0] ?? ''));
  return [...providers].filter((provider) => provider !== '' && provider !== 'demo').sort();
}
