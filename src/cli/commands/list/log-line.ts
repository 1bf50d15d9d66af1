import { type Event, isKnown, type KnownEvent, type Message } from '../../../session/event/event.ts';
import { addUsage, unused } from '../../../session/list/usage.ts';
import { describeCost, describeCount, describeTokens } from '../../../terminal/output/amounts.ts';

/**
 * Formats an event as `#12 12:31:05 message user: first line…`, with the date if it isn't today.
 */
export function logLine(event: Event, now: Date = new Date()): string {
  const what = isKnown(event) ? describe(event) : `${event.type}: not understood by this version of coffer`;
  return `#${event.id} ${timeOf(new Date(event.ts), now)} ${what}`;
}

function describe(event: KnownEvent): string {
  const { type } = event;
  switch (event.type) {
    case 'begin':
      return [
        `${type} in ${event.directory}`,
        event.branch,
        event.parent && `from ${event.parent.id}: ${event.parent.reason}`,
      ]
        .filter((text) => text !== undefined)
        .join(', ');
    case 'message':
      return `${type} ${describeMessage(event.message)}${event.partial === true ? ' (cut short)' : ''}`;
    case 'usage': {
      const used = addUsage(unused, event.usage);
      return `${type} ${event.model}: tokens ${describeTokens(used)}; cost ${describeCost(used)}`;
    }
    case 'model':
      return `${type} ${event.model}`;
    case 'instructions':
      return `${type} (${event.source}): ${event.text === '' ? 'none' : firstLine(event.text)}`;
    case 'name':
      return `${type} ${event.name}`;
    case 'pin':
      return event.pinned ? type : 'unpinned';
    case 'archive':
      return event.archived ? type : 'unarchived';
    case 'tags':
      return event.tags.length === 0 ? 'tags: none' : `${type} ${event.tags.map((tag) => `#${tag}`).join(' ')}`;
    case 'status':
      return `${type} ${event.status}${event.reason === undefined ? '' : `: ${event.reason}`}`;
    case 'error':
      return `${type} ${event.code}: ${firstLine(event.message)}`;
    case 'context-warning':
      return `${type}: ${describeCount(event.tokens)} of ${describeCount(event.window)} tokens`;
    case 'compaction':
      return `${type} by ${event.model} through #${event.through}: ${firstLine(event.summary)}`;
    case 'rewind':
      return `${type} to #${event.to}`;
    case 'move':
      return `${type} to ${event.directory}`;
    case 'project':
      return `${type} ${event.project.first?.slice(0, 12) ?? 'unknown'}${event.project.path && `, ${event.project.path}`}`;
    case 'child':
      return `${type} ${event.uuid}: ${event.reason}`;
    default:
      return describeTool(event);
  }
}

type ToolEvent = Extract<KnownEvent, { type: `tool-${string}` | `approval-${string}` | 'permission' }>;

function describeTool(event: ToolEvent): string {
  const { type } = event;
  switch (event.type) {
    case 'tool-start':
      return `${type} ${event.toolName}`;
    case 'tool-end':
      return `${type} ${event.toolName}: ${event.outcome}, ${describeCount(event.bytes)} bytes`;
    case 'approval-asked':
      return `${type} ${event.rule}: ${firstLine(event.about)}`;
    case 'approval-answered':
      return `${type} ${event.rule}: ${event.answer}, by ${event.by}`;
    case 'permission':
      return `${type} ${event.decision} ${event.rule}`;
  }
}

function describeMessage({ role, content }: Message): string {
  if (typeof content === 'string') return `${role}: ${firstLine(content)}`;
  const said = content.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const rest = content.flatMap((part) => {
    if (part.type === 'tool-call') return [`calls ${part.toolName}`];
    if (part.type === 'tool-result') return [`${part.toolName} answers ${firstLine(textOf(part.output))}`];
    return part.type === 'file' ? [`file ${part.filename ?? part.mediaType}`] : [];
  });
  const words = [...(said.trim() === '' ? [] : [firstLine(said)]), ...rest];
  return `${role}: ${words.length === 0 ? 'reasoning only' : words.join('; ')}`;
}

/** A tool's output is any JSON; the AI SDK wraps it as `{ type, value }`. */
function textOf(output: unknown): string {
  const value = typeof output === 'object' && output !== null && 'value' in output ? output.value : output;
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function firstLine(text: string): string {
  const trimmed = text.trim();
  const [line = ''] = trimmed.split(/\r?\n/, 1);
  return line.length === trimmed.length ? line : `${line.trimEnd()}…`;
}

function timeOf(at: Date, now: Date): string {
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  if (at.toDateString() === now.toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
