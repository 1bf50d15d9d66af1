import { type Event, isKnown, type KnownEvent, type Message, type Parent, type Part } from '../session/event.ts';
import type { State } from '../session/state.ts';
import type { Summary } from '../session/summary.ts';
import { escapeJson, escapeJsonLine, escapeLine, escapeText } from './escape.ts';

/** The forms of an export. */
export const FORMATS = ['markdown', 'json', 'jsonl'] as const;

/** One form of an export. */
export type Format = (typeof FORMATS)[number];

/** What is exported: the facts of a session or snapshot, and its events as recorded. */
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

/** Tells the facts of a session, saved or not. */
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

/** The form that the name of a file asks for; Markdown unless told. */
export function formatOf(path: string | undefined): Format {
  if (path === undefined) return 'markdown';
  if (/\.(jsonl|ndjson)$/i.test(path)) return 'jsonl';
  return /\.json$/i.test(path) ? 'json' : 'markdown';
}

/** Writes an export as text. */
export function renderExport({ about, events }: Exportable, format: Format): string {
  if (format === 'json') return `${escapeJson({ ...about, events })}\n`;
  if (format === 'markdown') return toMarkdown(about, events);
  return [{ coffer: 1, type: 'session', ...about }, ...events].map((line) => `${escapeJsonLine(line)}\n`).join('');
}

function toMarkdown(about: About, events: readonly Event[]): string {
  const { id, model, directory, branch, begun, updated, tags } = about;
  const facts = Object.entries({ id, model, directory, branch, begun, updated, tags: tags?.join(', ') });
  const head = facts.flatMap(([key, value]) => (value === undefined ? [] : [`- ${key}: ${escapeLine(value)}`]));
  const title = `# ${escapeLine(about.name ?? about.title ?? id ?? about.uuid)}`;
  const { standing, taken } = split(events);
  const cut = taken.flatMap(section);
  const back =
    cut.length === 0
      ? []
      : ['# taken back', 'What follows was said and is no part of the conversation any more.', ...cut];
  return `${[title, head.join('\n'), ...standing.flatMap(section), ...back].join('\n\n')}\n`;
}

/** Tells what stands of the conversation from what was taken back. */
function split(events: readonly Event[]): { standing: KnownEvent[]; taken: KnownEvent[] } {
  let standing: KnownEvent[] = [];
  const taken: KnownEvent[] = [];
  for (const event of events) {
    if (!isKnown(event)) continue;
    standing.push(event);
    if (event.type !== 'rewind') continue;
    taken.push(...standing.filter(({ id }) => id > event.to));
    standing = standing.filter(({ id }) => id <= event.to);
  }
  return { standing, taken };
}

function section(event: KnownEvent): string[] {
  if (event.type === 'error') return [`> error: ${escapeLine(event.message)}`];
  if (event.type === 'compaction') {
    const heading = `## summary (${escapeLine(event.model)}), for the model in place of what stands above`;
    return [heading, escapeText(event.summary.trimEnd())];
  }
  if (event.type !== 'message') return [];
  const { role } = event.message;
  const who = event.model === undefined ? role : `${role} (${escapeLine(event.model)})`;
  const cut = event.partial === true ? ', cut short' : '';
  return [`## ${who}${cut}`, escapeText(contentOf(event.message).trimEnd())];
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

/** A fence longer than any within. */
function fenced(text: string, language = ''): string {
  const longest = (text.match(/`+/g) ?? []).reduce((most, { length }) => Math.max(most, length), 2);
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}
