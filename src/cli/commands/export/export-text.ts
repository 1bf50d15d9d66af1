import {
  type Event,
  isKnown,
  type KnownEvent,
  type Message,
  type Parent,
  type Part,
} from '../../../session/event/event.ts';
import type { Summary } from '../../../session/list/summary.ts';
import type { State } from '../../../session/state.ts';
import { escapeJson, escapeJsonLine, escapeLine, escapeText } from '../../../terminal/output/escape.ts';

/** The formats of an export. */
export const FORMATS = ['markdown', 'json', 'jsonl'] as const;

/** A format of an export. */
export type Format = (typeof FORMATS)[number];

/** The content of an export: the facts of a session or snapshot, and its events as recorded. */
export interface Exportable {
  readonly about: About;
  readonly events: readonly Event[];
}

/** The facts of a session in an export; times are in ISO form. */
export interface About extends Pick<Summary, 'uuid' | 'kind' | 'name' | 'title' | 'tags' | 'directory' | 'branch'> {
  /** Undefined before its first save. */
  readonly id: string | undefined;
  readonly begun: string;
  readonly updated: string;
  readonly model: string;
  readonly messages: number;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly cost: number | null;
  readonly parent: Parent | undefined;
}

/** Returns the facts of a session, saved or not. */
export function aboutOf(state: State, of: Partial<Pick<Summary, 'kind' | 'id' | 'uuid' | 'name'>>): About {
  const {
    title,
    tags,
    directory,
    branch,
    model,
    messageCount: messages,
    inputTokens,
    outputTokens,
    cost,
    parent,
  } = state;
  const { id, uuid = state.uuid, kind = 'session', name = state.name } = of;
  const times = { begun: new Date(state.begun).toISOString(), updated: new Date(state.updated).toISOString() };
  const facts = { directory, branch, model, messages, inputTokens, outputTokens, cost, parent };
  return { id, uuid, kind, name, title, tags: tags.length === 0 ? undefined : tags, ...times, ...facts };
}

/** Returns the format for a file name. Default: Markdown. */
export function formatOf(path: string | undefined): Format {
  if (path === undefined) return 'markdown';
  if (/\.(jsonl|ndjson)$/i.test(path)) return 'jsonl';
  return /\.json$/i.test(path) ? 'json' : 'markdown';
}

/** The size of a piece of text, in UTF-16 units. */
const PIECE = 256 * 1024;

/**
 * Renders an export as text, in pieces that end at line ends: a large session exceeds the maximum
 * length of a string.
 */
export function* renderExport({ about, events }: Exportable, format: Format): Generator<string, void> {
  let lines: string[] = [];
  let length = 0;
  for (const line of renderers[format](about, events)) {
    lines.push(line, '\n');
    length += line.length;
    if (length < PIECE) continue;
    yield lines.join('');
    lines = [];
    length = 0;
  }
  yield lines.join('');
}

/** Each yields lines, or blocks of lines, without the final line end. */
const renderers: Readonly<Record<Format, (about: About, events: readonly Event[]) => Generator<string, void>>> = {
  markdown: toMarkdown,
  json: toJson,
  jsonl: toJsonLines,
};

function* toJsonLines(about: About, events: readonly Event[]): Generator<string, void> {
  yield escapeJsonLine({ coffer: 1, type: 'session', ...about });
  for (const event of events) yield escapeJsonLine(event);
}

/** Yields the same as `escapeJson` of the whole. */
function* toJson(about: About, events: readonly Event[]): Generator<string, void> {
  const open = escapeJson({ ...about, events: [] }).slice(0, -']\n}'.length);
  if (events.length === 0) {
    yield `${open}]\n}`;
    return;
  }
  yield open;
  const last = events.length - 1;
  for (const [at, event] of events.entries()) {
    yield `    ${escapeJson(event).replaceAll('\n', '\n    ')}${at === last ? '' : ','}`;
  }
  yield '  ]\n}';
}

function* toMarkdown(about: About, events: readonly Event[]): Generator<string, void> {
  const { id, model, directory, branch, begun, updated, tags } = about;
  const facts = Object.entries({ id, model, directory, branch, begun, updated, tags: tags?.join(', ') });
  const head = facts.flatMap(([key, value]) => (value === undefined ? [] : [`- ${key}: ${escapeLine(value)}`]));
  yield `# ${escapeLine(about.name ?? about.title ?? id ?? about.uuid)}`;
  yield `\n${head.join('\n')}`;
  const { standing, taken } = split(events);
  for (const event of standing) yield* section(event);
  const cut = taken.some((event) => !section(event).next().done);
  if (!cut) return;
  yield '\n# taken back';
  yield '\nThe following was said, but is no longer part of the conversation.';
  for (const event of taken) yield* section(event);
}

/** Separates what is still part of the conversation from what was taken back. */
function split(events: readonly Event[]): { standing: readonly KnownEvent[]; taken: readonly KnownEvent[] } {
  const standing: KnownEvent[] = [];
  const taken: KnownEvent[] = [];
  for (const event of events) {
    if (!isKnown(event)) continue;
    standing.push(event);
    if (event.type !== 'rewind') continue;
    const end = standing.findLastIndex(({ id }) => id <= event.to) + 1;
    for (const cut of standing.splice(end)) taken.push(cut);
  }
  return { standing, taken };
}

/** Yields the blocks of an event, each after an empty line. */
function* section(event: KnownEvent): Generator<string, void> {
  if (event.type === 'error') yield `\n> error: ${escapeLine(event.message)}`;
  if (event.type === 'compaction') {
    yield `\n## summary (${escapeLine(event.model)}), sent to the model in place of the above`;
    yield `\n${escapeText(event.summary.trimEnd())}`;
  }
  if (event.type === 'instructions' && event.text !== '') {
    yield `\n## instructions (${escapeLine(event.path ?? event.source)})`;
    yield `\n${escapeText(event.text.trimEnd())}`;
  }
  if (event.type !== 'message') return;
  const { role } = event.message;
  const who = event.model === undefined ? role : `${role} (${escapeLine(event.model)})`;
  yield `\n## ${who}${event.partial === true ? ', cut short' : ''}`;
  yield `\n${escapeText(contentOf(event.message).trimEnd())}`;
}

function contentOf({ content }: Message): string {
  return typeof content === 'string' ? content : content.map(partText).join('\n\n');
}

function partText(part: Part): string {
  switch (part.type) {
    case 'text':
      return part.text;
    case 'reasoning':
      return part.text.replace(/^/gm, '> ');
    case 'file':
      return `[file ${part.filename ?? ''} ${part.mediaType}]`;
    case 'tool-call':
      return `tool call: ${escapeLine(part.toolName)}\n\n${fenced(JSON.stringify(part.input ?? {}, undefined, 2), 'json')}`;
    case 'tool-result':
      return `result of ${escapeLine(part.toolName)}\n\n${outputText(part.output)}`;
  }
}

/** The SDK's outputs are `{type: 'text' | 'json' | 'error-text' | …, value}`. */
function outputText(output: unknown): string {
  const { value = output } = (output ?? {}) as { value?: unknown };
  return typeof value === 'string' ? fenced(value) : fenced(JSON.stringify(value ?? null, undefined, 2), 'json');
}

/** Fences a text, with a fence longer than any inside. */
function fenced(text: string, language = ''): string {
  const longest = (text.match(/`+/g) ?? []).reduce((most, { length }) => Math.max(most, length), 2);
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}
