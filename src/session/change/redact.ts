import { CofferError, isCofferError } from '../../errors.ts';
import { bytesIn, changeText } from '../event/attachment.ts';
import { type Event, isKnown, isObject } from '../event/event.ts';
import type { Row } from '../list/row.ts';
import type { Recorded } from '../shapes.ts';

/*
 * Removes a text from recorded events. The structure of a session stays: field names, types of
 * events and parts, roles, statuses and UUIDs. Everywhere else the text is replaced. It is matched
 * in decoded values, because in the record's JSON a quotation mark is two characters.
 */

/** Replaces a redacted text. */
const MARK = '[redacted]';

/** Replaces it in ids and names of tool calls, where providers accept only letters. */
const PLAIN_MARK = 'redacted';

/** Minimum characters of a text to redact: shorter texts occur too often in a record. */
const SHORTEST = 4;

/**
 * Maximum replacement passes over a string. The mark and its surroundings may form the text again;
 * after the last pass the whole string is replaced.
 */
const ROUNDS = 8;

/** Removes one text from events. */
export interface Redaction {
  /** Returns the events without the text, unchanged ones as they are, and the number changed. */
  redact(events: readonly Event[]): { events: Event[]; changed: number };
  /** Tells whether any event contains the text. */
  isIn(events: readonly Event[]): boolean;
}

/**
 * Prepares the redaction of a text. A text of several lines, such as a private key, is removed as a
 * whole and line by line, because its lines may have been recorded indented or with other line
 * ends. Throws `USAGE` for a text that is too short or part of the mark.
 */
export function redactionOf(text: string): Redaction {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const texts = lines.length === 1 ? [text] : [text.trim(), ...lines.filter((line) => [...line].length >= SHORTEST)];
  const length = [...(texts[0] ?? '')].length;
  if (length < SHORTEST) {
    throw new CofferError(
      'USAGE',
      `a text to redact must have at least ${SHORTEST} characters, this one has ${length}`,
    );
  }
  if (texts.some((one) => MARK.includes(one))) {
    throw new CofferError('USAGE', 'this text is part of the mark that replaces redacted text', {
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

/** The part of a session that {@link redactSession} uses. */
interface Redactable {
  readonly events: readonly Event[];
  rewrite(events: readonly Event[]): Promise<void>;
}

/**
 * Removes a text from a session and its file. Returns the number of events changed; if it is 0,
 * nothing is written. Durable when it resolves. Throws as its `rewrite`.
 */
export async function redactSession(session: Redactable, redaction: Redaction): Promise<number> {
  const before = session.events;
  const { events, changed } = redaction.redact(before);
  if (changed === 0) return 0;
  await session.rewrite(events);
  return changed;
}

/** Other files in the vault that contain a text. */
export interface Holders {
  /** Rows that contain the text. */
  readonly rows: readonly Row[];
  /** Rows that can't be read. */
  readonly unknown: readonly Row[];
}

/** Reads all sessions and snapshots except `but`, and finds those that contain the text. */
export async function holdersOf(
  sessions: { list(): Promise<Row[]>; read(row: Row): Promise<Recorded> },
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

/** Checks id and name: the name of a snapshot is in none of its events. */
function hasName(redaction: Redaction, { id, name = '' }: Row): boolean {
  const named = { id: 1, ts: 0, type: 'name', name: `${id}\n${name}` };
  return redaction.isIn([named]);
}

class Scrub {
  hits = 0;
  readonly #texts: readonly string[];

  /** Also matches the JSON-escaped text, because recorded output is often JSON itself. */
  constructor(texts: readonly string[]) {
    const spellings = texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1)]);
    this.#texts = [...new Set(spellings)].sort((a, b) => b.length - a.length);
  }

  event(event: Event): Event {
    const { id, ts, type, ...fields } = event as Event & Record<string, unknown>;
    const inside = isKnown(event) ? this.#shape(fields) : this.#free(fields);
    return { id, ts, type, ...(inside as object) } as Event;
  }

  /** Redacts a value with known fields: keeps their names, and the words of the schema. */
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

  /** Redacts the decoded text of a file; replaces a whole binary file that contains the text. */
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

  /** Redacts a tool's output in one of the AI SDK's forms: a type and an arbitrary value. */
  #output(value: unknown): unknown {
    if (!isObject(value) || !words.has(value['type'] as string)) return this.#free(value);
    const { type, value: inside, ...others } = value;
    const free = type === 'content' ? this.#shape(inside) : this.#free(inside);
    const shown = 'value' in value ? { value: free } : {};
    return { type, ...shown, ...(this.#shape(others) as object) };
  }

  /** Redacts an arbitrary value: field names and numbers may contain the text, too. */
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

/** Names of the fields of events and their parts. */
const fields: ReadonlySet<string> = new Set(
  `uuid directory branch worktree project parent first remote path reason id message model partial role content type text data
  mediaType filename toolCallId toolName input output value usage inputTokens cachedTokens outputTokens cost name pinned archived tags status code
  outcome bytes source offered rule about answer by decision tokens window summary through to providerOptions providerMetadata`.split(
    /\s+/,
  ),
);

/** Fields whose values are words of coffer's or the AI SDK's vocabulary. */
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
