import { decodeSummary, type Summary } from '../vault/summary.ts';
import type { State } from './state.ts';

export { decodeSummary, type Summary };

/** How many bytes of JSON a path or model name takes in a summary, which has to fit a frame's first chunk. */
const TEXT_LIMIT = 1024;

/** The most bytes that one unit of a text takes as JSON: `\u0000`. */
const LONGEST = 6;

/** Derives a summary from a state. */
export function summarize(state: State, of: Pick<Summary, 'kind' | 'id' | 'uuid' | 'name'>): Summary {
  return {
    ...of,
    title: state.title,
    begun: state.begun,
    updated: state.updated,
    directory: clip(state.directory),
    branch: clip(state.branch),
    worktree: clip(state.worktree),
    project: state.project && { ...state.project, remote: clip(state.project.remote), path: clip(state.project.path) },
    model: clip(state.model),
    messages: state.messageCount,
    tasks: state.tasks,
    toolCalls: state.toolCalls,
    pinned: state.pinned || undefined,
    archived: state.archived || undefined,
    tags: state.tags.length === 0 ? undefined : state.tags,
    inputTokens: state.inputTokens,
    outputTokens: state.outputTokens,
    cost: state.cost,
    status: state.status,
    parent: state.parent,
    firstEvent: state.firstEvent,
    lastEvent: state.lastEvent,
  };
}

/** Writes a summary as the JSON that is sealed. */
export function encodeSummary(summary: Summary): Buffer {
  return Buffer.from(JSON.stringify(summary));
}

function clip<T extends string | undefined>(text: T): T;
function clip(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text.length * LONGEST <= TEXT_LIMIT) return text;
  let clipped = text.slice(0, TEXT_LIMIT);
  while (Buffer.byteLength(JSON.stringify(clipped)) > TEXT_LIMIT) clipped = clipped.slice(0, -1);
  return clipped;
}
